import { ensure, tools } from './debian.mjs';

ensure([tools.sipp]);

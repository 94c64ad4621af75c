import { ensure, tools } from './debian.mjs';

ensure([tools.sipp, tools.postgres, tools.mariadb]);

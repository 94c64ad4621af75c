import { countTasks } from '../../handoff-tally.mjs';

export { count as default };
const count = countTasks();

// What a scenario is to the rest of the suite, and which of its contenders a command line asks for.

/**
 * @typedef {object} Chart becomes docs/plots/<file>.svg
 * @property {string} file kebab-case, unique among all scenarios
 * @property {string} title
 * @property {'bars' | 'lines'} kind
 * @property {string} xLabel with its unit
 * @property {string} yLabel with its unit
 * @property {boolean} [logX] lines only, numbers above 0 only
 * @property {boolean} [logY] points at or below 0 have no place on it and are left out
 * @property {{ name: string, points: Point[] }[]} series
 */

/** @typedef {{ x: number | string, y: number, min?: number, max?: number }} Point min and max are drawn as whiskers */

/**
 * @typedef {object} Comparison of one figure in one case
 * @property {string} case short words, such as 'OPTIONS, suspended 100 ms, 4000/s'
 * @property {string} measure with its unit, such as 'CPU, us/call'
 * @property {boolean} lessIsBetter
 * @property {number} ours
 * @property {{ contender: string, value: number }[]} others only those with usable runs
 */

/** @typedef {import('./turns.mjs').Row} Row */

/**
 * What a contender needs to be chosen. A SIP server has more: see Contender in turns.mjs.
 * @typedef {object} Chosen
 * @property {string} name on the command line
 * @property {string} title in tables
 * @property {(options: object) => string} unavailable why it cannot run here, or an empty string
 * @property {() => string} [version]
 * @property {string[]} [packages] of Debian, that make an unavailable one available
 */

/**
 * @typedef {object} Scenario
 * @property {string} name
 * @property {string} title
 * @property {string[]} needs commands
 * @property {Chosen[]} [contenders] ours first; absent: the SIP servers; empty: it compares nothing
 * @property {number} [minutes] about, for one round
 * @property {() => Record<string, string>} [version] of what else it uses, by name
 * @property {(context: any) => Promise<Row[]>} run
 * @property {(rows: Row[]) => string[]} table
 * @property {(rows: Row[]) => Chart[]} [charts]
 * @property {(rows: Row[]) => Comparison[]} [comparisons]
 */

/** @typedef {{ scenario: Scenario, contenders: Chosen[] }} Choice */

/**
 * @template {{ name: string }} T
 * @param {T[]} all
 * @param {string[]} names none: all of them
 * @returns {T[]}
 */
export function pick(all, names) {
  const known = [...new Set(all.map(({ name }) => name))];
  const unknown = names.find((each) => !known.includes(each));
  if (unknown !== undefined) throw new Error(`unknown name: ${unknown} (there are ${known.join(', ') || 'none'})`);
  return names.length === 0 ? all : all.filter(({ name }) => names.includes(name));
}

/**
 * The scenarios asked for, each with those of its contenders that are asked for. Somebody who names a contender wants
 * nothing that does without it, so a scenario with none left is left out.
 * @param {Scenario[]} scenarios
 * @param {Chosen[]} servers contenders of the scenarios that have none of their own
 * @param {{ scenario: string[], contender: string[] }} asked
 * @returns {Choice[]}
 */
export function choose(scenarios, servers, asked) {
  const chosen = pick(scenarios, asked.scenario).map((scenario) => ({
    scenario,
    contenders: scenario.contenders ?? servers,
  }));
  pick(chosen.flatMap(({ contenders }) => contenders), asked.contender);
  if (asked.contender.length === 0) return chosen;
  return chosen
    .map(({ scenario, contenders }) => ({
      scenario,
      contenders: contenders.filter(({ name }) => asked.contender.includes(name)),
    }))
    .filter(({ contenders }) => contenders.length > 0);
}

/**
 * Versions of the contenders and of what else a scenario uses, as far as they are known.
 * @param {Scenario} scenario
 * @param {Chosen[]} contenders
 * @returns {Record<string, string>}
 */
export function versionsOf(scenario, contenders) {
  const known = contenders.flatMap(({ title, version, unavailable }) =>
    version === undefined || unavailable({}) !== '' ? [] : [[title, version()]],
  );
  return { ...Object.fromEntries(known), ...scenario.version?.() };
}

/**
 * How long a scenario will take: as it says itself, or as its last stored run took.
 * @param {Scenario} scenario
 * @param {{ rounds: number, quick: boolean }} context
 * @param {{ minutes?: number, rounds: number } | undefined} last
 */
export function expectedMinutes({ minutes }, { rounds, quick }, last) {
  if (quick) return 1;
  const each = minutes ?? (last?.minutes === undefined ? undefined : last.minutes / last.rounds);
  return each === undefined ? undefined : Math.max(1, Math.round(each * rounds));
}

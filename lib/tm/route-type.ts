/** The kind of route a script is in, as the addon numbers it. A resumed route keeps the kind it was suspended in. */
export const ROUTE_TYPE = { request: 0, failure: 1, reply: 2, branch: 3 } as const;

/** One of {@link ROUTE_TYPE}. */
export type RouteType = (typeof ROUTE_TYPE)[keyof typeof ROUTE_TYPE];

/** Number of a route that is none. */
export const NO_ROUTE = 0xffff;

// RFC 3261's timers and tm's, in milliseconds.
export const kT1Ms = 500;
export const kT2Ms = 4000;
/** How long a reply to an INVITE is repeated without an ACK, and a request without an answer. */
export const kGiveUpMs = 64 * kT1Ms;
/** How long a callee may ring (tm's fr_inv_timer). */
export const kRingMs = 120_000;
/** How long an answered transaction is kept for retransmissions (tm's wt_timer). */
export const kWaitMs = 5000;

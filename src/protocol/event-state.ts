/** The states of an event, in both forms of the protocol. */

/** `enum perf_event_state` of kernel 4.13 (include/linux/perf_event.h), and `free` for a record not in use. */
export const EventState = { free: -5, dead: -4, exit: -3, off: -1, inactive: 0, active: 1 } as const;
export type EventState = (typeof EventState)[keyof typeof EventState];

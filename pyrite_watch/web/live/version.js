// @ts-check

/** The product's version, as of these files: tabs of different ones must not share a worker. */
export const VERSION = "0.1.1";

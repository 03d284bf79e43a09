/** Highest cluster feature level of this release (R9). 1: release 0.1. 2: changes of the members, and what they need. */
export const FEATURE_LEVEL = 2;

/** Highest cluster feature level of this release (R9). 1: release 0.1. 2: changes of the members, and what they need.
 * 3: documents, detection, recovery, the ledger of side effects, overrides, audit, availability rules. */
export const FEATURE_LEVEL = 3;

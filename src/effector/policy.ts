/** The replicated numbers, read from the view. */
import type { DomainRows } from '../machine/api.ts';
import { POLICY, type PolicyName } from '../machine/detection/types.ts';

export function policyValue(rows: DomainRows, name: PolicyName): number {
  return rows.policy.get(name)?.value ?? POLICY[name].normal;
}

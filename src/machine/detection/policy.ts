/** The numbers that the state works with: what was set, and the defaults for the rest. */
import { must } from '../../types/assert.ts';
import { KEY_END } from '../keys.ts';
import type { MachineState } from '../state.ts';
import { POLICY, type Policy, type PolicyName } from './types.ts';

export const POLICY_NAMES = Object.keys(POLICY).sort() as readonly PolicyName[];

export function isPolicyName(name: string): name is PolicyName {
  return Object.hasOwn(POLICY, name);
}

export function policyValue(state: MachineState, name: PolicyName): number {
  return state.tables.domain.policy.get(name)?.value ?? POLICY[name].normal;
}

export function policyOf(state: MachineState): Policy {
  const { policy } = state.tables.domain;
  const set = new Map(policy.range('', KEY_END, policy.size).map(([name, row]) => [name, row.value]));
  const values = POLICY_NAMES.map((name) => [name, set.get(name) ?? POLICY[name].normal] as const);
  return must(Object.fromEntries(values) as Policy, 'a policy');
}

/** PolicyService: the numbers that decide when the cluster acts by itself. */
import { PolicyService, type PolicySetting } from '../gen/quorate/v1/policy_pb.ts';
import type { MachineView } from '../machine/api.ts';
import { isPolicyName, POLICY_NAMES } from '../machine/detection/policy.ts';
import { POLICY, type PolicyName, type PolicyValue } from '../machine/detection/types.ts';
import type { RawDefinition, ServiceShape } from '../rpc/service.ts';
import { ok } from '../types/result.ts';
import type { Check } from './check.ts';
import type { ApiContext } from './context.ts';
import { mutation } from './mutation.ts';
import { read } from './read.ts';
import type { RawUnaryHandler } from './unary.ts';

const { method } = PolicyService;

type Handlers = { readonly [Name in keyof RawDefinition<ServiceShape<typeof PolicyService>>]: RawUnaryHandler };

export function policyHandlers(context: ApiContext): Handlers {
  return {
    getPolicy: read(context, method.getPolicy, {
      params: () => null,
      answer: (view) =>
        ok({ $typeName: 'quorate.v1.GetPolicyResponse', settings: POLICY_NAMES.map((name) => setting(view, name)) }),
    }),
    setPolicy: mutation(context, method.setPolicy, {
      session: 'optional',
      body: ({ values }, check) => {
        check.count('values', values.length, 1, POLICY_NAMES.length);
        const checked = values
          .slice(0, POLICY_NAMES.length)
          .map((value, i) => policyValue(value, `values[${i}]`, check));
        const names = checked.map(({ name }) => name);
        if (new Set(names).size < names.length) check.report('values', 'set one name twice; send each name once');
        return { kind: 'setPolicy', values: checked };
      },
      kind: 'policySet',
      answer: (header) => ({ $typeName: 'quorate.v1.SetPolicyResponse' as const, header }),
    }),
  };
}

function setting(view: MachineView, name: PolicyName): PolicySetting {
  const { normal, min, max } = POLICY[name];
  const row = view.rows.policy.get(name);
  return {
    $typeName: 'quorate.v1.PolicySetting',
    name,
    value: BigInt(row?.value ?? normal),
    defaultValue: BigInt(normal),
    min: BigInt(min),
    max: BigInt(max),
    changedRevision: BigInt(row?.changedRevision ?? 0),
  };
}

function policyValue(
  sent: { readonly name: string; readonly value: bigint },
  field: string,
  check: Check,
): PolicyValue {
  if (!isPolicyName(sent.name)) {
    check.report(`${field}.name`, `is no name of the policy; send one of ${POLICY_NAMES.join(', ')}`);
    return { name: 'kMilli', value: POLICY.kMilli.normal };
  }
  const { min, max } = POLICY[sent.name];
  return { name: sent.name, value: check.number(`${field}.value`, sent.value, min, max) };
}

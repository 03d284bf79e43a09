/** What is asked about recoveries, agents, issues and the policy: requests in order, and what is refused of their fields. */
import * as limits from '../../src/types/limits.ts';
import { consistency, header, label, name, numbers, page, ref, text, token } from './field-rows.ts';
import type { Row } from './member-rows.ts';

const DAY_MS = 86_400_000n;

/** Nothing that these set lets the cluster act by itself while the table is sent. */
export const QUIET_POLICY = [
  { name: 'autoAttemptsMax', value: 0n },
  { name: 'consensusMs', value: DAY_MS },
  { name: 'heartbeatMs', value: DAY_MS },
  { name: 'kMilli', value: 100_000n },
];

interface Parts {
  readonly header: object;
  readonly ref: { readonly loop: string };
  readonly fencingToken: bigint;
  readonly page: object;
}

export function recoveryBases({ header: head, ref: run, fencingToken, page: onePage }: Parts): Record<string, object> {
  return {
    ListRecoveries: { ...onePage, loop: 'in-order', openOnly: false },
    GetRecovery: { ref: run, ...onePage },
    InterruptPhase: { header: head, ref: run, attempt: 1n, detail: 'd' },
    ReportFinished: { header: head, ref: run, fencingToken, participant: 'table' },
    Heartbeat: { agents: ['table'] },
    Farewell: { header: head, agent: 'nobody' },
    ListAgents: onePage,
    GetDetection: { loop: run.loop, consistency: 1 },
    ListIssues: { ...onePage, openOnly: true },
    GetIssue: { issue: 1n, consistency: 1 },
    AcknowledgeIssue: { header: head, issue: 1n, note: 'n' },
    ListAlerts: onePage,
    GetPolicy: { consistency: 1 },
    SetPolicy: { header: head, values: QUIET_POLICY },
  };
}

/** Of a repeated text: one element is wrong. */
function element(field: string, value: string, says: RegExp): Row {
  return {
    name: `${field} ${JSON.stringify(value.slice(0, 20))}`,
    field: `${field}[0]`,
    set: { [field]: [value] },
    says,
  };
}

function names(field: string, countMax: number, says: RegExp): Row[] {
  const many = Array.from({ length: countMax + 1 }, (_, i) => `n-${i}`);
  const long = 'x'.repeat(limits.NAME_LENGTH_MAX + 1);
  return [
    { name: `too many ${field}`, field, set: { [field]: many }, says },
    element(field, '', /send 1 to 128 characters/),
    element(field, long, /send at most 128/),
    element(field, 'a\nb', /send one line of plain text/),
    element(field, '\u009b0m', /send one line of plain text/),
  ];
}

export function participants(): Row[] {
  const field = 'participants';
  return [
    ...names(field, limits.PARTICIPANTS_MAX, /send at most 64/),
    { name: 'a participant twice', field, set: { [field]: ['a', 'a'] }, says: /send each once/ },
  ];
}

function values(): Row[] {
  const one = { $typeName: 'quorate.v1.PolicyValue', name: 'kMilli', value: 1_600n };
  const count = { field: 'values', says: /send 1 to \d+/ };
  return [
    { name: 'no values', set: { values: [] }, ...count },
    { name: 'too many values', set: { values: Array(100).fill(one) }, ...count },
    { name: 'a name twice', field: 'values', set: { values: [one, one] }, says: /send each name once/ },
    ...['', 'nothing', 'toString', '__proto__', 'kmilli'].map((value) => ({
      name: `a name of nothing, ${JSON.stringify(value)}`,
      field: 'values[0].name',
      set: { 'values[0].name': value },
      says: /is no name of the policy; send one of autoAttemptsMax, /,
    })),
    ...numbers('values[1].value', 10n, DAY_MS),
  ];
}

export const RECOVERY_ROWS: Readonly<Record<string, readonly Row[]>> = {
  ListRecoveries: [...page(), ...name('loop', 'allowed')],
  GetRecovery: [...ref(), ...page()],
  InterruptPhase: [
    ...header('optional'),
    ...ref(),
    ...numbers('attempt', 1n),
    ...text('detail', limits.DETAIL_LENGTH_MAX),
  ],
  ReportFinished: [...header('optional'), ...ref(), ...token, ...label('participant')],
  Heartbeat: [
    { name: 'no agents', field: 'agents', set: { agents: [] }, says: /send 1 to 1000/ },
    ...names('agents', limits.HEARTBEAT_AGENTS_MAX, /send 1 to 1000/),
  ],
  Farewell: [...header('optional'), ...label('agent')],
  ListAgents: page(),
  GetDetection: [...name('loop'), ...consistency()],
  ListIssues: page(),
  GetIssue: [...numbers('issue', 1n), ...consistency()],
  AcknowledgeIssue: [...header('optional'), ...numbers('issue', 1n), ...text('note', limits.NOTE_LENGTH_MAX)],
  ListAlerts: page(),
  GetPolicy: consistency(),
  SetPolicy: [...header('optional'), ...values()],
};

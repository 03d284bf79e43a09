/** What is asked about overrides, supervisors, the audit log and availability: requests in order, and what is refused. */
import { generateKey, readKey } from '../../src/signing/ed25519.ts';
import { overrideMessage, rosterMessage } from '../../src/signing/messages.ts';
import { CLUSTER_TIME_MAX_MS, SUPERVISORS_MAX } from '../../src/types/limits.ts';
import { consistency, header, label, name, numbers } from './field-rows.ts';
import { memberName, type Row } from './member-rows.ts';

const CLUSTER = 'dev';
const ADA = readKey(generateKey().pem);
const BOB = readKey(generateKey().pem);
/** Nothing that is on record expires while the table is sent. */
const EXPIRES_AT_MS = Date.now() + 12 * 60 * 60 * 1_000;

const nonce = (digit: string): string => digit.repeat(32);
const once = (digit: string) => ({ expiresAtMs: EXPIRES_AT_MS, nonce: nonce(digit) });
const sent = (digit: string) => ({ expiresAtMs: BigInt(EXPIRES_AT_MS), nonce: nonce(digit) });

/** The first supervisor: nobody is there to sign for her. */
export const FIRST_SUPERVISOR = { changes: [{ name: 'ada', publicKey: ADA.publicKey }], ...sent('0') };

export function overrideBases({ header: head }: { readonly header: object }): Record<string, object> {
  const byAda = (message: Uint8Array) => [
    { supervisor: 'ada', publicKey: ADA.publicKey, signature: ADA.sign(message) },
  ];
  const changes = [{ name: 'bob', publicKey: BOB.publicKey }];
  const override = { clusterId: CLUSTER, target: 'trace', action: 'abort' as const, ...once('1') };
  const roster = { clusterId: CLUSTER, changes, ...once('2') };
  return {
    Override: {
      header: head,
      traceId: 'trace',
      action: 2,
      ...sent('1'),
      signatures: byAda(overrideMessage(override)),
    },
    ChangeSupervisors: {
      header: head,
      changes,
      // A wrapper that holds nothing but unknown fields is there, and 0.
      signaturesNeeded: 0,
      ...sent('2'),
      signatures: byAda(rosterMessage({ ...roster, signaturesNeeded: 0 })),
    },
    ListSupervisors: { consistency: 1 },
    ExportAudit: { fromPosition: 1n },
    GetAvailability: { consistency: 1 },
    PermitAsync: { header: head, memberId: 'm1', on: false },
  };
}

function hex(field: string, digits: number, says: RegExp): Row[] {
  const wrong = ['', '0'.repeat(digits - 1), '0'.repeat(digits + 1), 'A'.repeat(digits), 'x'.repeat(100_000)];
  return [...wrong, `${'0'.repeat(digits)}\n`, `0x${'0'.repeat(digits - 2)}`].map((value) => {
    return { name: `${field} ${JSON.stringify(value.slice(0, 8))}`, field, set: { [field]: value }, says };
  });
}

function signed(min: number): Row[] {
  const one = { $typeName: 'quorate.v1.Signature', supervisor: 'ada', publicKey: ADA.publicKey, signature: '' };
  const count = { field: 'signatures', says: new RegExp(min === 0 ? 'send at most 64' : 'send 1 to 64') };
  const many = { name: 'too many signatures', set: { signatures: Array(SUPERVISORS_MAX + 1).fill(one) }, ...count };
  return [
    ...numbers('expires_at_ms', 1n, BigInt(CLUSTER_TIME_MAX_MS)),
    ...hex('nonce', 32, /send 32 lower-case hexadecimal digits/),
    ...(min === 0 ? [many] : [many, { name: 'no signatures', set: { signatures: [] }, ...count }]),
    ...name('signatures[0].supervisor'),
    ...hex('signatures[0].public_key', 64, /is not 64 lower-case hexadecimal digits/),
    ...hex('signatures[0].signature', 128, /is not 128 lower-case hexadecimal digits/),
  ];
}

function changes(): Row[] {
  const one = { $typeName: 'quorate.v1.SupervisorChange', name: 'ada', publicKey: '' };
  const count = { field: 'changes', says: /send at most 64/ };
  const key = 'changes[0].public_key';
  return [
    { name: 'too many changes', set: { changes: Array(SUPERVISORS_MAX + 1).fill(one) }, ...count },
    ...name('changes[0].name'),
    ...['00', '01'].map((byte) => ({
      name: `a key of small order, ${byte}`,
      field: key,
      set: { [key]: `${byte}${'0'.repeat(62)}` },
      says: /is a key with which anybody can sign; make one/,
    })),
    // Empty: the supervisor is removed.
    ...hex(key, 64, /is not 64 lower-case hexadecimal digits/).filter(({ set }) => set[key] !== ''),
  ];
}

export const OVERRIDE_ROWS: Readonly<Record<string, readonly Row[]>> = {
  Override: [
    ...header('optional'),
    { name: 'no trace', field: 'trace_id', set: { trace_id: '' }, says: /name the trace whose recoveries are meant/ },
    ...label('trace_id'),
    ...[0, 4, -1, 2_147_483_647].map((action) => ({
      name: `action ${action}`,
      field: 'action',
      set: { action },
      says: /send 1 \(resume\), 2 \(abort\) or 3 \(force rollback\)/,
    })),
    ...signed(1),
  ],
  ChangeSupervisors: [
    ...header('optional'),
    ...changes(),
    { name: 'too many needed', field: 'signatures_needed', set: { signatures_needed: 65 }, says: /send 0 to 64/ },
    {
      name: 'all that a number can be',
      field: 'signatures_needed',
      set: { signatures_needed: 2 ** 32 - 1 },
      says: /send 0 to 64/,
    },
    ...signed(0),
  ],
  ListSupervisors: consistency(),
  ExportAudit: numbers('from_position', 0n),
  GetAvailability: consistency(),
  PermitAsync: [...header('optional'), ...memberName('member_id')],
};

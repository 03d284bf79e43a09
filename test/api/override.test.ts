/** O1–O3 through the API: gRPC and HTTP, over a real state machine, with real keys. */
import { create } from '@bufbuild/protobuf';
import type { ClientReadableStream } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { ExportWriter } from '../../src/audit/export-file.ts';
import { verifyAudit } from '../../src/audit/verify.ts';
import { fromAction } from '../../src/client/override.ts';
import {
  type AuditInfo,
  type AuditRecord,
  ExportAuditRequestSchema,
  type ExportAuditResponse,
  OverrideService,
} from '../../src/gen/quorate/v1/override_pb.ts';
import type { AuditBlockRow } from '../../src/machine/audit/types.ts';
import { KEY_END } from '../../src/machine/keys.ts';
import type { OverrideCommand, Signature } from '../../src/machine/override/types.ts';
import type { Table } from '../../src/machine/table.ts';
import { methodDefinition } from '../../src/rpc/service.ts';
import { type ParsedStatus, parseStatus } from '../../src/rpc/status.ts';
import { generateKey } from '../../src/signing/ed25519.ts';
import { logIndex } from '../../src/types/ids.ts';
import { AUDIT_BLOCK_RECORDS } from '../../src/types/limits.ts';
import { overridden, People } from '../audit/exported.ts';
import { at, Bench } from '../machine/kit.ts';
import { interruptedBench, serveMachine } from './machine-api.ts';
import { TestApi } from './support.ts';

const { method } = OverrideService;
type Override = Extract<OverrideCommand, { kind: 'override' }>;

let api: TestApi;
let bench: Bench;
let people: People;
const streams: ClientReadableStream<ExportAuditResponse>[] = [];

function serve(some: Bench): void {
  bench = some;
  serveMachine(api, bench);
}

beforeEach(async () => {
  api = await new TestApi().start();
  people = new People('test');
  serve(interruptedBench());
});

afterEach(() => {
  for (const stream of streams.splice(0)) stream.cancel();
  api.stop();
});

const soon = (): number => bench.timeMs + 60_000;
const plain = (signatures: readonly Signature[]) =>
  signatures.map(({ supervisor, publicKey, signature }) => ({ supervisor, publicKey, signature }));

function send(command: OverrideCommand) {
  const { expiresAtMs, nonce, signatures } = command;
  const once = { expiresAtMs: BigInt(expiresAtMs), nonce, signatures: plain(signatures) };
  const header = { caller: 'test' };
  if (command.kind === 'override') {
    const { target: traceId, action } = command;
    return api.call(method.override, { header, traceId, action: fromAction(action), ...once });
  }
  const changes = command.changes.map(({ name, publicKey }) => ({ name, publicKey }));
  const { signaturesNeeded } = command;
  const needed = signaturesNeeded === null ? {} : { signaturesNeeded };
  return api.call(method.changeSupervisors, { header, changes, ...once, ...needed });
}

async function post(command: Override, traceId = command.target): Promise<{ status: number; json: unknown }> {
  const { action, expiresAtMs, nonce, signatures } = command;
  const body = JSON.stringify({ action, expiresAtMs, nonce, signatures, caller: 'curl' });
  const answer = await api.api.override(traceId, Buffer.from(body, 'utf8'));
  expect(answer.type).toBe('application/json');
  return { status: answer.status, json: JSON.parse(answer.body) };
}

async function roster(...names: readonly string[]): Promise<void> {
  expect(await send(people.roster(people.add(...names), [], soon()))).toMatchObject({ ok: true });
}

const STATUS: Readonly<Record<string, number>> = {
  SIGNATURES_TOO_FEW: 403,
  SIGNATURE_INVALID: 403,
  SUPERVISOR_UNKNOWN: 403,
  OVERRIDE_EXPIRED: 409,
  OVERRIDE_REPLAYED: 409,
  OVERRIDE_NO_TARGET: 404,
  RECOVERY_STATE: 409,
};

/** Refused with `reason`, over gRPC and over HTTP. */
async function refused(command: Override, reason: string): Promise<void> {
  expect(await send(command)).toMatchObject({ ok: false, error: { reason } });
  expect(await post(command)).toMatchObject({ status: STATUS[reason], json: { error: { reason } } });
}

const stateNow = (): string | undefined => bench.machine.rows.recovery.range('', '\u007f', 1)[0]?.[1].state;

describe('O2: refusals, each with its reason', () => {
  beforeEach(() => roster('ada', 'bob', 'cyd'));
  afterEach(() => expect(stateNow()).toBe('INTERRUPTED'));

  test('one signature too few', () => refused(people.override('abort', ['ada'], soon()), 'SIGNATURES_TOO_FEW'));

  test('the same supervisor twice', () =>
    refused(people.override('abort', ['ada', 'ada'], soon()), 'SIGNATURES_TOO_FEW'));

  test('expired', () => refused(people.override('abort', ['ada', 'bob'], bench.timeMs), 'OVERRIDE_EXPIRED'));

  test('altered: signature, action, trace, expiry, nonce, key', async () => {
    const signed = people.override('resume', ['ada', 'bob'], soon());
    const [ada, bob] = signed.signatures as [Signature, Signature];
    const flipped = ada.signature.replace(/^./, (digit) => (digit === '0' ? '1' : '0'));
    await refused({ ...signed, signatures: [{ ...ada, signature: flipped }, bob] }, 'SIGNATURE_INVALID');
    await refused({ ...signed, action: 'abort' }, 'SIGNATURE_INVALID');
    await refused({ ...signed, target: 'other' }, 'SIGNATURE_INVALID');
    await refused({ ...signed, expiresAtMs: at(signed.expiresAtMs + 1) }, 'SIGNATURE_INVALID');
    await refused({ ...signed, nonce: '0'.repeat(32) }, 'SIGNATURE_INVALID');
    const { publicKey } = people.key('cyd');
    await refused({ ...signed, signatures: [{ ...ada, publicKey }, bob] }, 'SIGNATURE_INVALID');
  });

  test('a signature with a key that is not on the roster', async () => {
    const signed = people.override('abort', ['mallory', 'bob'], soon());
    await refused(signed, 'SUPERVISOR_UNKNOWN');
    const [own, bob] = signed.signatures as [Signature, Signature];
    await refused({ ...signed, signatures: [{ ...own, supervisor: 'ada' }, bob] }, 'SIGNATURE_INVALID');
  });

  test('for another cluster', async () => {
    const elsewhere = new People('elsewhere');
    const signed = elsewhere.override('abort', ['ada', 'bob'], soon());
    await refused(signed, 'SIGNATURE_INVALID');
  });

  test('a trace without a recovery', () =>
    refused(people.override('abort', ['ada', 'bob'], soon(), 'other'), 'OVERRIDE_NO_TARGET'));

  test('of somebody who was removed', async () => {
    const gone = people.roster([{ name: 'bob', publicKey: '' }], ['ada', 'bob'], soon());
    expect(await send(gone)).toMatchObject({ ok: true, value: { supervisors: 2, threshold: 1 } });
    await refused(people.override('abort', ['bob'], soon()), 'SUPERVISOR_UNKNOWN');
  });

  test('O3: where there is no quorum, the reason is that, and nothing is written', async () => {
    const message = 'no majority';
    api.member.mutate = async () => ({
      kind: 'refused',
      reason: 'NO_QUORUM',
      leader: null,
      retryAfterMs: null,
      message,
    });
    const signed = people.override('abort', ['ada', 'bob'], soon());
    expect(await send(signed)).toMatchObject({ ok: false, error: { reason: 'NO_QUORUM' } });
    expect(await post(signed)).toMatchObject({ status: 503, json: { error: { reason: 'NO_QUORUM' } } });
  });

  test('an unknown outcome is told as that', async () => {
    api.member.mutate = async () => ({ kind: 'indeterminate', message: 'who knows' });
    const signed = people.override('abort', ['ada', 'bob'], soon());
    expect(await post(signed)).toMatchObject({ status: 504, json: { error: { reason: 'INDETERMINATE' } } });
  });

  test('what is malformed never reaches the cluster', async () => {
    const before = bench.machine.appliedIndex;
    const signed = people.override('abort', ['ada', 'bob'], soon());
    const wrong: readonly Override[] = [
      { ...signed, nonce: 'x' },
      { ...signed, signatures: [] },
      { ...signed, target: 'a\nb' },
      { ...signed, expiresAtMs: at(0) },
      { ...signed, signatures: [{ supervisor: 'a b', publicKey: 'x', signature: 'y' }] },
    ];
    for (const one of wrong) {
      expect(await send(one)).toMatchObject({ ok: false, error: { reason: 'INVALID_ARGUMENT' } });
      expect(await post(one)).toMatchObject({ status: 400, json: { error: { reason: 'INVALID_ARGUMENT' } } });
    }
    for (const body of ['', '[1', 'null', '{}', '{"action":"restart"}', '\xff']) {
      expect((await api.api.override('trace', Buffer.from(body, 'latin1'))).status).toBe(400);
    }
    expect(bench.machine.appliedIndex).toBe(before);
  });
});

describe('O1, O2: the right ones work', () => {
  test('over gRPC; sent again it is refused as replayed', async () => {
    await roster('ada', 'bob', 'cyd');
    const signed = people.override('force-rollback', ['ada', 'cyd'], soon());
    expect(await send(signed)).toMatchObject({ ok: true, value: { recoveries: 1 } });
    expect(stateNow()).toBe('ROLLBACK');
    await refused(signed, 'OVERRIDE_REPLAYED');
    await refused(people.override('abort', ['ada', 'cyd'], soon()), 'RECOVERY_STATE');
  });

  test('over HTTP', async () => {
    await roster('ada');
    const answer = await post(people.override('resume', ['ada'], soon()));
    expect(answer).toEqual({ status: 200, json: { revision: bench.machine.appliedIndex, recoveries: 1 } });
    expect(stateNow()).toBe('RECONCILE');
    expect(bench.events.at(-1)).toMatchObject({ kind: 'override.accepted', caller: 'curl', traceId: 'trace' });
  });

  test('the roster as everybody may see it', async () => {
    await roster('cyd', 'ada', 'bob');
    const listed = await api.call(method.listSupervisors, {});
    expect(listed).toMatchObject({
      ok: true,
      value: { threshold: 2, clusterId: 'test', clusterTimeMs: BigInt(bench.timeMs) },
    });
    if (!listed.ok) throw new Error('listed');
    const names = ['ada', 'bob', 'cyd'];
    expect(listed.value.supervisors.map(({ name }) => name)).toEqual(names);
    expect(listed.value.supervisors.map(({ publicKey }) => publicKey)).toEqual(
      names.map((name) => people.key(name).publicKey),
    );
  });

  test('a key of 32 bytes that is no point of the curve is refused like any other', async () => {
    const signed = people.override('abort', ['ada'], soon());
    const signatures = signed.signatures.map((one) => ({ ...one, publicKey: 'ff'.repeat(32) }));
    expect(await send({ ...signed, signatures })).toMatchObject({ ok: false, error: { reason: 'SIGNATURE_INVALID' } });
    expect(generateKey().publicKey).toMatch(/^[0-9a-f]{64}$/);
  });
});

describe('O3: the audit log as a stream', () => {
  function open(from = 0n): { stream: ClientReadableStream<ExportAuditResponse>; status: Promise<ParsedStatus> } {
    const { path, requestSerialize, responseDeserialize } = methodDefinition(method.exportAudit);
    const request = create(ExportAuditRequestSchema, { fromPosition: from });
    const stream = api.client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, request);
    streams.push(stream);
    const status = new Promise<ParsedStatus>((resolve) => stream.on('status', (end) => resolve(parseStatus(end))));
    stream.on('error', () => {});
    return { stream, status };
  }

  async function exported(from = 0n): Promise<{ info: AuditInfo; records: AuditRecord[] }> {
    const { stream, status } = open(from);
    const messages: ExportAuditResponse[] = [];
    for await (const one of stream) messages.push(one as ExportAuditResponse);
    expect((await status).code).toBe(0);
    const info = messages[0]?.info;
    if (info === undefined) throw new Error('the first message has the facts');
    expect(messages[0]?.records).toEqual([]);
    return { info, records: messages.flatMap(({ records }) => records) };
  }

  function file({ info, records }: { info: AuditInfo; records: AuditRecord[] }): Uint8Array {
    const writer = new ExportWriter();
    const { clusterId, previousHash } = info;
    const begin = writer.begin({ clusterId, firstPosition: Number(info.firstPosition), previousHash });
    const plainRecords = records.map(({ position, index, timeMs, ...texts }) => ({
      ...texts,
      position: Number(position),
      index: logIndex(Number(index)),
      timeMs: at(Number(timeMs)),
    }));
    return Buffer.concat([begin, writer.add(plainRecords), writer.end().bytes]);
  }

  test('verifies offline, signatures included', async () => {
    serve(overridden(people));
    const all = await exported();
    expect(all.info).toMatchObject({ clusterId: 'test', memberId: 'a', firstPosition: 1n, records: 7n });
    expect(await verifyAudit([file(all)])).toMatchObject({ sound: true, records: 7, signatures: 4 });
  });

  test('from any position: each part verifies, and goes on where the one before ended', async () => {
    serve(overridden(people));
    for (let i = 0; i < 200; i++) bench.rejected({ kind: 'createLoop', loop: 'not a name', plan: '' });
    const whole = await exported();
    for (const from of [1, 2, 63, 64, 65, 66, 128, 129, 130, 200, 207]) {
      const part = await exported(BigInt(from));
      expect(part.info).toMatchObject({ firstPosition: BigInt(from), records: BigInt(208 - from) });
      const before = whole.records[from - 2]?.hash ?? '0'.repeat(64);
      expect(part.info.previousHash, `from ${from}`).toBe(before);
      expect(part.records).toEqual(whole.records.slice(from - 1));
      expect((await verifyAudit([file(part)])).sound).toBe(true);
    }
    const end = await exported(208n);
    expect(end).toMatchObject({ info: { firstPosition: 208n, records: 0n }, records: [] });
    expect(end.info.previousHash).toBe(whole.records.at(-1)?.hash);
    const { stream, status } = open(209n);
    stream.resume();
    expect(await status).toMatchObject({ reason: 'INVALID_ARGUMENT', message: expect.stringContaining('ends at 207') });
  });

  test('of an empty log', async () => {
    serve(new Bench());
    expect(await exported()).toMatchObject({ info: { firstPosition: 1n, records: 0n, previousHash: '0'.repeat(64) } });
  });

  test('AX1: is of one moment, whatever the state does meanwhile', { timeout: 60_000 }, async () => {
    const long = 'x'.repeat(120);
    const fill = (count: number): void => {
      for (let i = 0; i < count; i++) bench.apply({ kind: 'createLoop', loop: `${long} ${i}`, plan: '' });
    };
    fill(200 * AUDIT_BLOCK_RECORDS);
    const { stream, status } = open();
    const messages: ExportAuditResponse[] = [];
    stream.on('data', (one: ExportAuditResponse) => {
      messages.push(one);
      if (messages.length === 2) stream.pause();
    });
    await vi.waitFor(() => expect(messages.length).toBe(2));
    // The state goes on, and drops what is being sent.
    fill(AUDIT_BLOCK_RECORDS);
    (bench.machine.rows.audit as Table<AuditBlockRow>).deleteRange('', KEY_END, 100);
    stream.resume();
    expect((await status).code).toBe(0);
    const records = messages.flatMap((one) => one.records);
    expect(records.length).toBe(Number(messages[0]?.info?.records));
    const info = messages[0]?.info;
    if (info === undefined) throw new Error('the first message has the facts');
    expect(await verifyAudit([file({ info, records })])).toMatchObject({ sound: true, records: records.length });
  });

  test('AX2: hashes no further than the client reads', async () => {
    const texts = {
      caller: 'a',
      traceId: 'b',
      command: 'createLoop',
      subject: 'x'.repeat(256),
      outcome: 'OK',
      detail: '',
    };
    const records = Array.from({ length: AUDIT_BLOCK_RECORDS }, () => ({
      ...texts,
      index: logIndex(1),
      timeMs: at(1),
    }));
    let hashed = 0;
    const counted: AuditRecord[] = records.map(
      (record) =>
        Object.defineProperty({ ...record }, 'subject', {
          enumerable: true,
          get: () => {
            hashed += 1;
            return record.subject;
          },
        }) as unknown as AuditRecord,
    );
    const audit = new Bench().machine.rows.audit as Table<AuditBlockRow>;
    const blocks = 400;
    for (let i = 0; i < blocks; i++) {
      const first = 1 + i * AUDIT_BLOCK_RECORDS;
      const row = { first, previousHash: '0'.repeat(64), records: counted as unknown as AuditBlockRow['records'] };
      audit.put(String(first).padStart(16, '0'), row);
    }
    const rows = { ...bench.machine.rows, audit };
    const view = Object.create(bench.machine, { rows: { value: rows } }) as typeof bench.machine;
    api.member.read = async () => ({ kind: 'ready', view });
    const { stream } = open();
    let received = 0;
    stream.on('data', () => {
      received += 1;
      stream.pause();
    });
    await vi.waitFor(() => expect(received).toBe(1));
    let before = -1;
    await vi.waitFor(
      () => {
        const still = hashed === before;
        before = hashed;
        expect(still).toBe(true);
      },
      { interval: 200, timeout: 10_000 },
    );
    expect(hashed).toBeLessThan((blocks * AUDIT_BLOCK_RECORDS) / 2);
  });

  test('without a quorum it is refused', async () => {
    const message = 'no majority';
    api.member.read = async () => ({ kind: 'refused', reason: 'NO_QUORUM', leader: null, retryAfterMs: null, message });
    const { stream, status } = open();
    stream.resume();
    expect((await status).reason).toBe('NO_QUORUM');
  });
});

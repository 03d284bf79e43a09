/**
 * Issue 2, done when 8: every request field out of range, oversized, of wrong type or unknown. A real member answers
 * each with a message that says what to do; it goes on, and its state is what it was.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DescMessage } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { status as Code, Metadata } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { GetStatusResponseSchema } from '../../src/gen/quorate/v1/cluster_pb.ts';
import { ListIssuesResponseSchema } from '../../src/gen/quorate/v1/issue_pb.ts';
import { ListMembersResponseSchema } from '../../src/gen/quorate/v1/membership_pb.ts';
import {
  BeginPhaseResponseSchema,
  GetLoopResponseSchema,
  GetPhaseRunResponseSchema,
  ListSubStepsResponseSchema,
} from '../../src/gen/quorate/v1/phase_pb.ts';
import { OpenSessionResponseSchema } from '../../src/gen/quorate/v1/session_pb.ts';
import { type DevCluster, startDevCluster } from '../../src/server/dev.ts';
import { CLIENT_MESSAGE_BYTES_MAX, METADATA_BYTES_MAX } from '../../src/types/limits.ts';
import { type Address, type Joiner, startJoiner } from '../process/joiner.ts';
import { waitFor } from '../process/wait.ts';
import { Prng } from '../sim/kernel/prng.ts';
import { cliPath } from '../support/build.ts';
import { type Answer, decoded, RawCaller, shown } from './caller.ts';
import { IN_ORDER } from './in-order.ts';
import { FIRST_SUPERVISOR } from './override-rows.ts';
import { atRest, quiet } from './quiet.ts';
import { baseRequest, NEVER_OUT_OF_RANGE, type Prepared, REQUEST_ROWS } from './request-rows.ts';
import { STATE_ROWS } from './state-rows.ts';
import * as wire from './wire.ts';

const DAY_MS = 86_400_000n;
let folder: string;
let cluster: DevCluster;
let caller: RawCaller;
let prepared: Prepared;
/** Waits to be added; is added and removed again before anything is counted. */
let joiner: Joiner;
let before: Awaited<ReturnType<typeof everything>>;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'quorate-bad-input-'));
  cluster = await startDevCluster({ members: 1, dataDir: folder, cli: cliPath });
  caller = new RawCaller(cluster.endpoints[0] ?? '');
  const opened = decoded(await send('OpenSession', { ttlMs: DAY_MS }), OpenSessionResponseSchema);
  let sequence = 0n;
  const next = (): bigint => {
    sequence += 1n;
    return sequence;
  };
  prepared = { session: opened.sessionId, token: 1n, sequence: next };
  await quiet(send);
  const loop = await send('CreateLoop', { loop: 'bad-input' });
  expect(shown(loop)).toContain('accepted');
  const ref = { loop: 'bad-input', g: 1n, phase: 'ANALYZE' };
  const document = { loop: 'bad-input', name: 'kept', content: '{"a":0}' };
  expect(shown(await send('PutDocument', document))).toContain('accepted');
  expect(shown(await send('ChangeSupervisors', FIRST_SUPERVISOR))).toContain('accepted');
  const begun = decoded(await send('BeginPhase', { ref, participants: ['table', 'other'] }), BeginPhaseResponseSchema);
  prepared = { ...prepared, token: begun.fencingToken };
  const intent = { ref, fencingToken: begun.fencingToken, key: 'kept', compensator: { kind: 'worker', target: 'q' } };
  expect(shown(await send('RecordIntent', intent))).toContain('accepted');
  const subSteps = [{ id: 'kept', result: 'before' }];
  const kept = {
    ref,
    fencingToken: begun.fencingToken,
    completed: 1n,
    total: 4n,
    note: 'kept',
    subSteps,
    checkpoint: 'c',
  };
  expect(shown(await send('ReportProgress', kept))).toContain('accepted');
  joiner = await startJoiner(await ownAddress(), 'b', folder);
  await inOrderWithUnknownFields();
  before = await everything();
});

afterAll(async () => {
  caller?.close();
  await joiner?.process.stop(1_000);
  await cluster?.stop();
  await rm(folder, { recursive: true, force: true });
});

function send(method: string, request: object): Promise<Answer> {
  const found = wire.methodNamed(method);
  return caller.call(found, wire.requestWith(found.input, request, {}));
}

/** What must be the same after bad input: the applied log, the hash over all tables, and a record as clients see it. */
async function everything() {
  const { appliedIndex, lastIndex, stateHash, term } = await caller.status();
  const ref = { loop: 'bad-input', g: 1n, phase: 'ANALYZE' };
  const loop = decoded(await send('GetLoop', { loop: 'bad-input' }), GetLoopResponseSchema);
  const run = decoded(await send('GetPhaseRun', { ref }), GetPhaseRunResponseSchema);
  const steps = decoded(await send('ListSubSteps', { ref }), ListSubStepsResponseSchema);
  return { appliedIndex, lastIndex, stateHash, term, loop, run, steps };
}

const accepted = new Map<string, Answer>();

/** Base requests without a row's change are accepted, so that a row fails for its change and for nothing else. */
async function inOrderWithUnknownFields(): Promise<void> {
  const session = decoded(await send('OpenSession', { ttlMs: DAY_MS }), OpenSessionResponseSchema).sessionId;
  let token = 0n;
  let issue = 0n;
  // A member that there is, so that there is one to remove.
  await addJoiner();
  for (const [name, set] of IN_ORDER) {
    const method = wire.methodNamed(name);
    const request = wire.requestWith(method.input, baseRequest(name, prepared), set({ session, token, issue }));
    const answer = await caller.call(method, Buffer.concat([request, wire.unknownFieldsEverywhere(method.input)]));
    accepted.set(name, answer);
    if (name === 'ChangeMembers') await settled();
    if (name === 'InterruptPhase') await atRest(send);
    if (name === 'ListIssues') issue = decoded(answer, ListIssuesResponseSchema).issues[0]?.issue ?? 0n;
    if (name === 'BeginPhase') token = decoded(answer, BeginPhaseResponseSchema).fencingToken;
  }
}

async function ownAddress(): Promise<readonly Address[]> {
  const { members } = decoded(await send('GetStatus', {}), GetStatusResponseSchema);
  return members.map(({ memberId: id, peerAddress, clientAddress }) => ({ id, peerAddress, clientAddress }));
}

/** As a learner: it counts in nothing. The feature level that this needs comes by itself. */
async function addJoiner(): Promise<void> {
  const { id, ...addresses } = joiner.address;
  const value = { memberId: id, ...addresses, learner: true, replaces: '' };
  await waitFor(
    async () => (await send('ChangeMembers', { changes: [{ change: { case: 'add', value } }] })).ok,
    20_000,
    'the joiner is added',
  );
  await settled();
}

/** The cluster has nothing more to change by itself. */
async function settled(): Promise<void> {
  const isSettled = async () => decoded(await send('ListMembers', {}), ListMembersResponseSchema).settled;
  await waitFor(isSettled, 20_000, 'the members are settled');
}

function base(name: string): { readonly input: DescMessage; readonly bytes: Uint8Array } {
  const { input } = wire.methodNamed(name);
  return { input, bytes: wire.requestWith(input, baseRequest(name, prepared), {}) };
}

const NAMES = wire.METHODS.map((method) => method.name);
const withFields = NAMES.filter((name) => wire.methodNamed(name).input.fields.length > 0);

/** `what: answer` of each one that is not INVALID_ARGUMENT with a message that matches. */
async function notRefused(
  name: string,
  requests: Iterable<{ readonly what: string; readonly bytes: Uint8Array }>,
  says: RegExp,
): Promise<string[]> {
  const wrong: string[] = [];
  for (const { what, bytes } of requests) {
    const answer = await caller.call(wire.methodNamed(name), bytes);
    const right = !answer.ok && answer.reason === 'INVALID_ARGUMENT' && says.test(answer.message);
    if (!right) wrong.push(`${what}: ${shown(answer)}`);
  }
  return wrong;
}

/** Says which message it should have been, and where that is described. */
const NO_SUCH_MESSAGE = /^the request is not a quorate\.v1\.\w+ \(.+\); generate the client from proto\/quorate\/v1$/;

describe('U2: request fields', () => {
  test.each(NAMES)('%s: in order, with unknown fields in every message', (name) => {
    expect(shown(accepted.get(name) ?? { ok: true, bytes: new Uint8Array() })).toMatch(/^accepted \([1-9]/);
  });

  test('the table has a row for every field, and no row for a field that is gone', () => {
    const inTable = new Set(REQUEST_ROWS.map((row) => `${row.method} ${row.field.replaceAll(/\[\d+\]/g, '')}`));
    const all = wire.METHODS.flatMap((method) =>
      wire.fieldsOf(method.input).map((at) => ({ ...at, key: `${method.name} ${at.path}` })),
    );
    // A single message may be absent, and is what its fields are; where it may not, it has a row of its own.
    const bounded = all.filter((at) => at.field.fieldKind !== 'message' || wire.isWrapper(at.field.message));
    const missing = bounded.filter(({ key }) => !inTable.has(key) && !NEVER_OUT_OF_RANGE.includes(key));
    expect(missing.map(({ key }) => key)).toEqual([]);
    const known = new Set(all.map(({ key }) => key));
    expect([...inTable, ...NEVER_OUT_OF_RANGE].filter((key) => !known.has(key))).toEqual([]);
  });

  test.each(withFields)('%s: values out of range are refused by the field', async (name) => {
    const rows = REQUEST_ROWS.filter((row) => row.method === name);
    expect(rows.length).toBeGreaterThan(0);
    const { input } = wire.methodNamed(name);
    const wrong: string[] = [];
    for (const row of rows) {
      const answer = await caller.call(
        wire.methodNamed(name),
        wire.requestWith(input, baseRequest(name, prepared), row.set),
      );
      const violations = answer.ok || answer.reason !== 'INVALID_ARGUMENT' ? [] : answer.violations;
      const named = violations.some(({ field, description }) => field === row.field && row.says.test(description));
      if (!named) wrong.push(`${row.name}: ${shown(answer)}`);
    }
    expect(wrong).toEqual([]);
  });

  test.each(withFields)('%s: fields of another wire type', async (name) => {
    const { input, bytes } = base(name);
    const requests = wire.fieldsOf(input).flatMap((at) => {
      const others: readonly (readonly [WireType, Uint8Array])[] = wire.isLengthDelimited(at)
        ? [
            [WireType.Varint, new Uint8Array([1])],
            [WireType.Bit64, new Uint8Array(8)],
          ]
        : [
            [WireType.LengthDelimited, new Uint8Array([1, 1])],
            [WireType.Bit32, new Uint8Array([1, 0, 0, 0])],
          ];
      return others.map(([type, value]) => ({
        what: `${at.path} as wire type ${type}`,
        bytes: Buffer.concat([bytes, wire.encodedAt(at, type, value)]),
      }));
    });
    expect(await notRefused(name, requests, NO_SUCH_MESSAGE)).toEqual([]);
  });

  test.each(withFields)('%s: fields that are no UTF-8, no number, or longer than the message', async (name) => {
    const { input, bytes } = base(name);
    const requests = wire.fieldsOf(input).flatMap((at) => {
      const texts = wire.isText(at)
        ? [
            [0xff, 0xfe],
            [0xed, 0xa0, 0x80],
            [0xc0, 0x80],
          ]
        : [];
      const ill = texts.map((text) => wire.textBytes(at, Uint8Array.from(text)));
      if (wire.isLengthDelimited(at)) {
        ill.push(wire.encodedAt(at, WireType.LengthDelimited, new BinaryWriter().uint32(2 ** 31).finish()));
        ill.push(wire.encodedAt(at, WireType.LengthDelimited, new Uint8Array([0x05, 0x61])));
      } else {
        ill.push(wire.encodedAt(at, WireType.Varint, new Uint8Array(11).fill(0xff)));
      }
      return ill.map((part, i) => ({ what: `${at.path} broken ${i}`, bytes: Buffer.concat([bytes, part]) }));
    });
    expect(await notRefused(name, requests, NO_SUCH_MESSAGE)).toEqual([]);
  });

  test.each(withFields)('%s: cut off inside a field, at every byte', async (name) => {
    const { bytes } = base(name);
    const whole = wire.fieldEnds(bytes);
    const requests = [...bytes.keys()]
      .filter((length) => !whole.has(length))
      .map((length) => ({ what: `the first ${length} bytes`, bytes: bytes.subarray(0, length) }));
    expect(requests.length).toBeGreaterThan(0);
    expect(await notRefused(name, requests, NO_SUCH_MESSAGE)).toEqual([]);
  });

  test.each(NAMES)('%s: too large a message, and too much metadata', async (name) => {
    const method = wire.methodNamed(name);
    const large = await caller.call(method, new Uint8Array(CLIENT_MESSAGE_BYTES_MAX + 1));
    expect(shown(large)).toMatch(/^RESOURCE_EXHAUSTED : Received message larger than max \(1048577 vs 1048576\)$/);
    if (method.methodKind !== 'unary') return;
    const metadata = new Metadata();
    metadata.set('x-much', 'x'.repeat(METADATA_BYTES_MAX));
    const { bytes } = base(name);
    expect(shown(await caller.call(method, bytes, metadata))).toMatch(
      new RegExp(
        `^RESOURCE_EXHAUSTED TOO_LARGE: the call carries \\d+ bytes of metadata; send at most ${METADATA_BYTES_MAX}$`,
      ),
    );
    metadata.set('x-much', 'x'.repeat(METADATA_BYTES_MAX * 16));
    expect((await caller.call(method, bytes, metadata)).ok).toBe(false);
  });

  test('nothing of all that reached the log, and the record is there', async () => {
    expect(await everything()).toEqual(before);
  });
});

describe('R3: freshness of reads', () => {
  const READS = [
    ...['ListPlans', 'ListLoops', 'GetLoop', 'GetPhaseRun', 'ListSubSteps', 'ListMembers', 'GetFeatureLevel'],
    ...['GetDocument', 'ListDocuments', 'ListDocumentVersions', 'ListEffects', 'ListSupervisors', 'GetAvailability'],
    ...['ListRecoveries', 'ListAgents', 'ListIssues', 'ListAlerts', 'GetPolicy'],
  ];

  test.each(READS)('%s: every consistency, and bounds from the least to the largest', async (name) => {
    const method = wire.methodNamed(name);
    const fresh = [0, 1, 3].map((consistency) => ({ consistency }));
    const bounds = [0n, 1n, 1_000n, 2n ** 53n - 1n].map((bound) => ({ consistency: 2, max_staleness_ms: bound }));
    const answers: string[] = [];
    for (const set of [...fresh, ...bounds]) {
      const request = wire.requestWith(method.input, baseRequest(name, prepared), set);
      const answer = await caller.call(method, request);
      answers.push(answer.ok ? Buffer.from(answer.bytes).toString('hex') : shown(answer));
    }
    expect(answers[0]).toMatch(/^[0-9a-f]+$/);
    // Nothing goes on, so that all of them are the same.
    expect(new Set(answers).size).toBe(1);
  });
});

describe('P2, R6: in order, and refused by the state of the cluster', () => {
  test.each(STATE_ROWS)('$method, $name', async ({ method: name, set, reason, says }) => {
    const method = wire.methodNamed(name);
    const request = wire.requestWith(method.input, baseRequest(name, prepared), set(prepared));
    const answer = await caller.call(method, request);
    expect(answer).toMatchObject({ ok: false, reason });
    expect(shown(answer)).toMatch(says);
  });

  test('the record is as it was', async () => {
    const { loop, run, steps } = await everything();
    expect({ loop, run, steps }).toEqual({ loop: before.loop, run: before.run, steps: before.steps });
  });
});

describe('U2: calls that are none', () => {
  test('unknown methods and services', async () => {
    for (const path of ['/quorate.v1.PhaseService/Nothing', '/quorate.v2.PhaseService/GetLoop', '/a/b', '/']) {
      expect(shown(await caller.unary(path, new Uint8Array([1])))).toMatch(
        /^UNIMPLEMENTED : The server does not implement/,
      );
    }
  });

  test('random bytes for every method, health and reflection included', async () => {
    const prng = new Prng(2, 0);
    const paths = ['/grpc.health.v1.Health/Check', '/grpc.health.v1.Health/Watch'];
    const reflection = ['v1', 'v1alpha'].map((v) => `/grpc.reflection.${v}.ServerReflection/ServerReflectionInfo`);
    const unexpected: string[] = [];
    for (let round = 0; round < 20; round += 1) {
      const bytes = Uint8Array.from({ length: 1 + prng.below(300) }, () => prng.below(256));
      for (const method of wire.METHODS) {
        const answer = await caller.call(method, bytes);
        // Bytes may happen to be a message of unknown fields only.
        const fine = answer.ok || (answer.reason === 'INVALID_ARGUMENT' && answer.code === Code.INVALID_ARGUMENT);
        if (!fine) unexpected.push(`${method.name} ${Buffer.from(bytes).toString('hex')}: ${shown(answer)}`);
      }
      for (const path of paths) await caller.stream(path, bytes);
      for (const path of reflection) await caller.exchange(path, [bytes]);
    }
    expect(unexpected).toEqual([]);
  });

  test('afterwards the same process serves, and the record is there', async () => {
    const { loop, run, steps, term } = await everything();
    expect({ loop, run, steps, term }).toEqual({
      loop: before.loop,
      run: before.run,
      steps: before.steps,
      term: before.term,
    });
    expect(shown(await send('CreateLoop', { loop: 'after' }))).toContain('accepted');
    const log = await readFile(cluster.members[0]?.logFile ?? '', 'utf8');
    // The joiner ends when it is told that it was removed; that its connection is gone may be noticed before it is forgotten.
    const lines = log.split('\n').filter((line) => !/"peer":"b".*"msg":"cannot reach peer"/.test(line));
    expect(lines.filter((line) => /"level":[56]0|this is a bug|Error/.test(line))).toEqual([]);
  });
});

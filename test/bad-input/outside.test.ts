/**
 * Issue 4: what strangers send to the HTTP port, and what workers may say. A real member refuses each with words that help, goes on,
 * and its state is what it was.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  CompensationWorkerService,
  type WorkOutcome,
  WorkRequestSchema,
} from '../../src/gen/quorate/v1/compensator_pb.ts';
import { methodPath } from '../../src/rpc/service.ts';
import { type DevCluster, startDevCluster } from '../../src/server/dev.ts';
import { CLIENT_MESSAGE_BYTES_MAX, HTTP_BODY_BYTES_MAX, HTTP_HEADER_BYTES_MAX } from '../../src/types/limits.ts';
import { Prng } from '../sim/kernel/prng.ts';
import { cliPath } from '../support/build.ts';
import { RawCaller, shown } from './caller.ts';
import { quiet } from './quiet.ts';
import { CONNECTION_ROWS, play } from './raw-connections.ts';
import * as wire from './wire.ts';

const WORK = methodPath(CompensationWorkerService.method.work);
let folder: string;
let cluster: DevCluster;
let caller: RawCaller;
let base: string;
let before: Awaited<ReturnType<typeof everything>>;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'quorate-bad-outside-'));
  cluster = await startDevCluster({ members: 1, dataDir: folder, cli: cliPath });
  caller = new RawCaller(cluster.endpoints[0] ?? '');
  base = `http://${cluster.members[0]?.httpAddress}`;
  await quiet((method, request) => {
    const found = wire.methodNamed(method);
    return caller.call(found, wire.requestWith(found.input, request, {}));
  });
  before = await everything();
});

afterAll(async () => {
  caller?.close();
  await cluster?.stop();
  await rm(folder, { recursive: true, force: true });
});

async function everything() {
  const { appliedIndex, lastIndex, stateHash, term } = await caller.status();
  return { appliedIndex, lastIndex, stateHash, term };
}

async function healthy(): Promise<void> {
  const answer = await fetch(`${base}/healthz`);
  expect([answer.status, await answer.text()]).toEqual([200, 'ok\n']);
}

const OVERRIDE = '/override/trace';
const SIGNED = {
  action: 'resume',
  expiresAtMs: Date.now() + 3_600_000,
  nonce: '0'.repeat(32),
  signatures: [{ supervisor: 'ada', publicKey: '5'.repeat(64), signature: '0'.repeat(128) }],
};

interface HttpRow {
  readonly name: string;
  readonly method?: string;
  readonly path?: string;
  readonly body?: string | Uint8Array<ArrayBuffer>;
  readonly status: number;
  readonly says: RegExp;
}

function override(name: string, change: object, says: RegExp, status = 400): HttpRow {
  return { name, method: 'POST', path: OVERRIDE, body: JSON.stringify({ ...SIGNED, ...change }), status, says };
}

/** Of the override's body: each field gone, of every other type, and out of range. */
function fieldRows(): HttpRow[] {
  const values: readonly unknown[] = [
    undefined,
    null,
    true,
    7,
    -1,
    1.5,
    1e300,
    '',
    'x',
    'x'.repeat(50_000),
    [],
    [[]],
    {},
  ];
  const fields: readonly (readonly [string, RegExp])[] = [
    ['action', /action: is not known; send resume, abort, force-rollback/],
    ['expiresAtMs', /expiresAtMs: is -?\d+; send a whole number from 1 to/],
    ['nonce', /nonce: is no nonce; send 32 lower-case hexadecimal digits/],
    [
      'signatures',
      /signatures: (is missing; send a list|has 0 elements; send 1 to 64)|signatures\[0\]\.supervisor: is empty/,
    ],
  ];
  const top = fields.flatMap(([field, says]) =>
    values
      // A number in range is in order.
      .filter((value) => !(field === 'expiresAtMs' && value === 7))
      .map((value) => override(`${field} ${String(JSON.stringify(value)).slice(0, 20)}`, { [field]: value }, says)),
  );
  const inner = ['supervisor', 'publicKey', 'signature'].flatMap((field) =>
    values
      .filter((value) => !(field === 'supervisor' && value === 'x'))
      .map((value) =>
        override(
          `signatures[0].${field} ${String(JSON.stringify(value)).slice(0, 20)}`,
          { signatures: [{ ...SIGNED.signatures[0], [field]: value }] },
          /signatures\[0\]\.\w+: is/,
        ),
      ),
  );
  return [...top, ...inner];
}

const HTTP_ROWS: readonly HttpRow[] = [
  { name: 'nothing of that name', path: '/nothing', status: 404, says: /there is no \/nothing here; there is:\n/ },
  { name: 'up and out', path: '/../../etc/passwd', status: 404, says: /there is no \/etc\/passwd here/ },
  { name: 'up and out, encoded', path: '/%2e%2e%2f%2e%2e%2fetc%2fpasswd', status: 404, says: /there is no / },
  { name: 'a long path', path: `/${'x'.repeat(8_000)}`, status: 404, says: /there is no \/x{50,99}\.\.\. here/ },
  { name: 'what is no text, encoded', method: 'POST', path: '/override/%ff', status: 404, says: /there is no / },
  { name: 'no trace', method: 'POST', path: '/override/', status: 404, says: /there is no / },
  { name: 'a trace too many', method: 'POST', path: '/override/a/b', status: 404, says: /there is no / },
  ...['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS'].map(
    (method): HttpRow => ({ name: method, method, path: '/metrics', status: 405, says: /\/metrics takes GET/ }),
  ),
  { name: 'GET of an override', path: OVERRIDE, status: 405, says: /takes POST/ },
  {
    name: 'too large a body',
    method: 'POST',
    path: OVERRIDE,
    body: 'x'.repeat(HTTP_BODY_BYTES_MAX + 1),
    status: 413,
    says: new RegExp(`at most ${HTTP_BODY_BYTES_MAX} bytes`),
  },
  ...['', '[', 'null', '7', '"x"', '{"action":', '\u0000', '[]'.repeat(10_000), '['.repeat(60_000)].map(
    (body, i): HttpRow => {
      return {
        name: `a body that is none, ${i}`,
        method: 'POST',
        path: OVERRIDE,
        body,
        status: 400,
        says: /JSON object/,
      };
    },
  ),
  {
    name: 'a body that is no UTF-8',
    method: 'POST',
    path: OVERRIDE,
    body: new Uint8Array([0x7b, 0xff, 0x7d]),
    status: 400,
    says: /JSON object/,
  },
  ...fieldRows(),
  override('too many signatures', { signatures: Array(500).fill({}) }, /signatures: has 65 elements; send 1 to 64/),
  override('a control character as caller', { caller: '\u001b[31m' }, /caller: holds a control character/),
  { ...override('a trace of two lines', {}, /trace_id: holds a control character/), path: '/override/a%0Ab' },
  { ...override('a trace that is too long', {}, /trace_id: has 500 characters/), path: `/override/${'x'.repeat(500)}` },
  override('a signature of nobody', {}, /signature of ada is not of resume of trace trace/, 403),
];

describe('U2: strangers on the HTTP port', () => {
  test.each(CONNECTION_ROWS)('$name', async (row) => {
    const { hostname, port } = new URL(base);
    const socket = await play(row, hostname, Number(port));
    if (row.afterwards === 'hold') socket.destroy();
    await healthy();
  });

  test('requests that HTTP does not know', async () => {
    const { hostname, port } = new URL(base);
    const post = `POST ${OVERRIDE} HTTP/1.1\r\nHost: a\r\n`;
    const requests = [
      'NOTHING / HTTP/1.1\r\n\r\n',
      'GET / HTTP/9.9\r\n\r\n',
      `GET /${'x'.repeat(HTTP_HEADER_BYTES_MAX)} HTTP/1.1\r\nHost: a\r\n\r\n`,
      `GET /healthz HTTP/1.1\r\nHost: a\r\n${'X: y\r\n'.repeat(20_000)}\r\n`,
      `${post}Content-Length: -1\r\n\r\n`,
      `${post}Content-Length: 99999999999999999999\r\n\r\n`,
      `${post}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
      `${post}Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n`,
      `${post}Transfer-Encoding: chunked\r\n\r\n${`10000\r\n${'x'.repeat(65_536)}\r\n`.repeat(20)}0\r\n\r\n`,
      `GET /metrics HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n`,
      `CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n`,
      'GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(1_000),
    ];
    const answers: string[] = [];
    for (const text of requests) {
      answers.push(
        await new Promise((resolve) => {
          let got = '';
          const socket = connect(Number(port), hostname, () => socket.write(text));
          socket.setTimeout(2_000, () => socket.destroy());
          socket.on('data', (bytes) => {
            got += bytes.toString('latin1');
          });
          socket.on('error', () => undefined);
          socket.once('close', () => resolve(got.split('\r\n')[0] ?? ''));
        }),
      );
      await healthy();
    }
    // Whatever it answers, it is no success but where the request was one.
    const successes = answers.map((answer) => / 200 /.test(answer));
    expect(successes.map((ok, i) => (ok ? i : -1)).filter((i) => i >= 0)).toEqual([9, 11]);
  });

  test('every row is refused with its reason', async () => {
    const wrong: string[] = [];
    for (const { name, method = 'GET', path = '/', body, status, says } of HTTP_ROWS) {
      const answer = await fetch(`${base}${path}`, { method, ...(body === undefined ? {} : { body }) });
      const text = await answer.text();
      if (answer.status !== status || !says.test(text) || text.length > 4_096)
        wrong.push(`${name}: ${answer.status} ${text.slice(0, 300)}`);
    }
    expect(wrong).toEqual([]);
    await healthy();
  });
});

type Message = MessageInitShape<typeof WorkRequestSchema>['message'];

function work(message?: Message): Uint8Array {
  return toBinary(WorkRequestSchema, create(WorkRequestSchema, message === undefined ? {} : { message }));
}

const open = (queues: readonly string[], capacity = 1): Uint8Array =>
  work({ case: 'open', value: { queues: [...queues], capacity } });
const answer = (task: bigint, outcome: number, error = ''): Uint8Array =>
  work({ case: 'answer', value: { task, outcome: outcome as WorkOutcome, error } });

interface WorkRow {
  readonly name: string;
  /** Field of the descriptor that is wrong, '' for the message. */
  readonly field: string;
  readonly messages: readonly Uint8Array[];
  readonly says: RegExp;
}

function opening(name: string, field: string, queues: readonly string[], capacity: number, says: RegExp): WorkRow {
  return { name, field, messages: [open(queues, capacity)], says };
}

const many = (count: number): string[] => Array.from({ length: count }, (_, i) => `q-${i}`);
const LONG = 'x'.repeat(129);
const WORK_ROWS: readonly WorkRow[] = [
  { name: 'nothing', field: '', messages: [work()], says: /INVALID_ARGUMENT: open: must be the first message/ },
  { name: 'an answer first', field: '', messages: [answer(1n, 1)], says: /open: must be the first message/ },
  { name: 'nothing after open', field: '', messages: [open(['q']), work()], says: /must be open or answer/ },
  { name: 'open twice', field: 'open', messages: [open(['q']), open(['q'])], says: /only the first message/ },
  opening('no queues', 'open.queues', [], 1, /must name 1 to 64 queues, not 0/),
  opening('too many queues', 'open.queues', many(65), 1, /must name 1 to 64 queues, not 65/),
  opening('a queue without a name', 'open.queues', ['q', ''], 1, /open\.queues\[1\]: is empty; send 1 to 128/),
  opening('a queue of too long a name', 'open.queues', [LONG], 1, /open\.queues\[0\]: is not a name; send 1 to 128/),
  opening('a queue that no compensator can name', 'open.queues', ['a\nb'], 1, /open\.queues\[0\]: is not a name/),
  opening('too much at a time', 'open.capacity', ['q'], 1_025, /must be at most 1024, not 1025/),
  opening('far too much at a time', 'open.capacity', ['q'], 2 ** 32 - 1, /must be at most 1024/),
  ...[0, 4, -1, 2_147_483_647].map((outcome): WorkRow => {
    const messages = [open(['q']), answer(1n, outcome)];
    return { name: `outcome ${outcome}`, field: 'answer.outcome', messages, says: /must be WORK_OUTCOME_DONE/ };
  }),
];
/** A task that is not theirs was withdrawn, for all they know; and what an error says is cut. */
const NEVER_WRONG = ['answer.task', 'answer.error'];

describe('U2: workers that are none', () => {
  test('the table has a row for every field', () => {
    const fields = wire.fieldsOf(WorkRequestSchema).filter(({ field }) => field.fieldKind !== 'message');
    const known = [...WORK_ROWS.map(({ field }) => field), ...NEVER_WRONG];
    expect(fields.map(({ path }) => path).filter((path) => !known.includes(path))).toEqual([]);
  });

  test.each(WORK_ROWS)('$name', async ({ messages, says }) => {
    const refused = await caller.exchange(WORK, messages);
    expect(shown(refused)).toMatch(/^INVALID_ARGUMENT INVALID_ARGUMENT: /);
    expect(shown(refused)).toMatch(says);
  });

  test('what is no message', async () => {
    const prng = new Prng(4, 0);
    const opened = open(['q']);
    const broken: Uint8Array[] = wire.fieldsOf(WorkRequestSchema).flatMap((at) => {
      const other = wire.isLengthDelimited(at)
        ? wire.encodedAt(at, WireType.Varint, new Uint8Array([1]))
        : wire.encodedAt(at, WireType.LengthDelimited, new Uint8Array([1, 1]));
      const ill = wire.isText(at) ? [wire.textBytes(at, new Uint8Array([0xff]))] : [];
      return [other, ...ill, wire.encodedAt(at, WireType.LengthDelimited, new BinaryWriter().uint32(2 ** 31).finish())];
    });
    for (let round = 0; round < 50; round += 1)
      broken.push(Uint8Array.from({ length: 1 + prng.below(200) }, () => prng.below(256)));
    const wrong: string[] = [];
    for (const bytes of broken) {
      for (const messages of [[bytes], [opened, bytes]]) {
        const refused = shown(await caller.exchange(WORK, messages));
        if (!/^INVALID_ARGUMENT INVALID_ARGUMENT: /.test(refused))
          wrong.push(`${Buffer.from(bytes).toString('hex')}: ${refused}`);
      }
    }
    expect(wrong).toEqual([]);
    const large = await caller.exchange(WORK, [new Uint8Array(CLIENT_MESSAGE_BYTES_MAX + 1)]);
    expect(shown(large)).toMatch(/^RESOURCE_EXHAUSTED /);
  });

  test('answers to tasks that nobody was given, with errors of any length', async () => {
    const tasks = [0n, 1n, 2n ** 53n, 2n ** 64n - 1n];
    const answers = tasks.flatMap((task) => [answer(task, 1), answer(task, 2, 'ü'.repeat(100_000)), answer(task, 3)]);
    expect((await caller.exchange(WORK, [open(['q', 'q'], 0), ...answers])).ok).toBe(true);
  });
});

test('afterwards the same process serves, and nothing of all that reached the log', async () => {
  expect(await everything()).toEqual(before);
  const log = await readFile(cluster.members[0]?.logFile ?? '', 'utf8');
  expect(log.split('\n').filter((line) => /"level":[56]0|this is a bug/.test(line))).toEqual([]);
});

/** The table of what strangers send to a port, as bytes; and HTTP/2 frames to build it from. */
import { connect as connectHttp2 } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { gzipSync } from 'node:zlib';
import { Prng } from '../sim/kernel/prng.ts';

const WAIT_MS = 10_000;
const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
const TYPE = { data: 0, headers: 1, rstStream: 3, settings: 4, ping: 6, goaway: 7, windowUpdate: 8, continuation: 9 };
const EMPTY = Buffer.alloc(0);

/** `length` is what the header claims; the payload may be another one. */
function frame(type: number, flags: number, stream: number, payload: Buffer, length = payload.length): Buffer {
  const header = Buffer.alloc(9);
  header.writeUIntBE(length, 0, 3);
  header.writeUInt8(type, 3);
  header.writeUInt8(flags, 4);
  header.writeUInt32BE(stream, 5);
  return Buffer.concat([header, payload]);
}

function times(count: number, build: (i: number) => Buffer): Buffer {
  return Buffer.concat(Array.from({ length: count }, (_, i) => build(i)));
}

function opened(...frames: readonly Buffer[]): Buffer {
  return Buffer.concat([PREFACE, frame(TYPE.settings, 0, 0, EMPTY), ...frames]);
}

function random(seed: number, length: number): Buffer {
  const prng = new Prng(seed, 0);
  return Buffer.from(Array.from({ length }, () => prng.below(256)));
}

/** `:method: POST`, `:scheme: http`, `:path: /` from the static table. */
const HEADER_BLOCK = Buffer.from([0x83, 0x86, 0x84]);

/** A ClientHello of TLS 1.2 with one cipher suite. */
const CLIENT_HELLO = Buffer.concat([
  Buffer.from('16030100310100002d0303', 'hex'),
  random(3, 32),
  Buffer.from('000002c02f01000000', 'hex'),
]);

export interface ConnectionRow {
  readonly name: string;
  readonly bytes: Buffer;
  /** `wait`: until the other side closes or stays silent. `reset`: at once, in the middle. `hold`: kept open. */
  readonly afterwards: 'wait' | 'reset' | 'hold';
}

export const CONNECTION_ROWS: readonly ConnectionRow[] = [
  ...[1, 9, 24, 300, 70_000, 2_000_000].map((length, seed): ConnectionRow => {
    return { name: `${length} random bytes`, bytes: random(seed, length), afterwards: 'wait' };
  }),
  { name: 'an HTTP/1.1 request', bytes: Buffer.from('GET / HTTP/1.1\r\nHost: a\r\n\r\n'), afterwards: 'wait' },
  {
    name: 'an endless HTTP/1.1 header',
    bytes: Buffer.from(`GET / HTTP/1.1\r\nX: ${'x'.repeat(200_000)}`),
    afterwards: 'wait',
  },
  { name: 'a TLS ClientHello', bytes: CLIENT_HELLO, afterwards: 'wait' },
  { name: 'a reset right after the connect', bytes: EMPTY, afterwards: 'reset' },
  { name: 'nothing at all', bytes: EMPTY, afterwards: 'hold' },
  { name: 'half a preface', bytes: PREFACE.subarray(0, 10), afterwards: 'hold' },
  { name: 'a preface and nothing more', bytes: PREFACE, afterwards: 'hold' },
  { name: 'a frame that never ends', bytes: opened(frame(TYPE.headers, 4, 1, HEADER_BLOCK, 500)), afterwards: 'hold' },
  { name: 'a preface and random bytes', bytes: Buffer.concat([PREFACE, random(7, 5_000)]), afterwards: 'wait' },
  {
    name: 'a reset in the middle of a call',
    bytes: opened(frame(TYPE.headers, 4, 1, HEADER_BLOCK)),
    afterwards: 'reset',
  },
  {
    name: 'a frame of 16 MiB',
    bytes: opened(frame(TYPE.data, 0, 1, Buffer.alloc(1 << 20), (1 << 24) - 1)),
    afterwards: 'wait',
  },
  { name: 'data on stream 0', bytes: opened(frame(TYPE.data, 0, 0, Buffer.alloc(100))), afterwards: 'wait' },
  { name: 'headers that are no HPACK', bytes: opened(frame(TYPE.headers, 4, 1, random(8, 900))), afterwards: 'wait' },
  {
    name: 'settings of a wrong length',
    bytes: opened(frame(TYPE.settings, 0, 0, Buffer.alloc(7))),
    afterwards: 'wait',
  },
  {
    name: 'a window that overflows',
    bytes: opened(times(3, () => frame(TYPE.windowUpdate, 0, 0, Buffer.from('7fffffff', 'hex')))),
    afterwards: 'wait',
  },
  {
    name: 'frames of unknown types',
    bytes: opened(times(500, (i) => frame(0x40 + (i % 128), 0xff, i, random(i, 20)))),
    afterwards: 'wait',
  },
  {
    name: 'a header block without end',
    bytes: opened(
      frame(TYPE.headers, 0, 1, HEADER_BLOCK),
      times(20_000, () => frame(TYPE.continuation, 0, 1, EMPTY)),
    ),
    afterwards: 'wait',
  },
  {
    name: 'one megabyte of headers',
    bytes: opened(
      frame(TYPE.headers, 0, 1, HEADER_BLOCK),
      // Literal headers without indexing, each with 16,000 bytes of value.
      times(64, () =>
        frame(
          TYPE.continuation,
          0,
          1,
          Buffer.concat([Buffer.from('000161', 'hex'), Buffer.from('7f817c', 'hex'), Buffer.alloc(16_000, 0x78)]),
        ),
      ),
    ),
    afterwards: 'wait',
  },
  {
    name: 'a flood of pings',
    bytes: opened(times(20_000, (i) => frame(TYPE.ping, 0, 0, random(i % 5, 8)))),
    afterwards: 'wait',
  },
  {
    name: 'a flood of settings',
    bytes: opened(times(20_000, () => frame(TYPE.settings, 0, 0, EMPTY))),
    afterwards: 'wait',
  },
  {
    name: 'calls that are opened and reset at once',
    bytes: opened(
      times(3_000, (i) =>
        Buffer.concat([
          frame(TYPE.headers, 4, 2 * i + 1, HEADER_BLOCK),
          frame(TYPE.rstStream, 0, 2 * i + 1, Buffer.alloc(4)),
        ]),
      ),
    ),
    afterwards: 'wait',
  },
  { name: 'goaway first of all', bytes: opened(frame(TYPE.goaway, 0, 0, random(9, 8))), afterwards: 'wait' },
];

/** How long a connection stays silent before the row is over, milliseconds. */
const SILENCE_MS = 150;

/** Plays a row on one port. The socket that is given back is open, where the row holds it. */
export function play(row: ConnectionRow, host: string, port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, host);
    const done = (): void => resolve(socket);
    socket.once('connect', () => {
      socket.write(row.bytes, () => {
        if (row.afterwards === 'reset') socket.resetAndDestroy();
        if (row.afterwards !== 'wait') done();
        else socket.end();
      });
    });
    socket.setTimeout(row.afterwards === 'wait' ? SILENCE_MS : 0, () => {
      socket.destroy();
      done();
    });
    socket.on('data', () => undefined);
    socket.once('close', done);
    socket.on('error', (error: NodeJS.ErrnoException) => {
      // Being thrown out is what a stranger has to expect; not being let in is what the test is about.
      if (error.code === 'ECONNREFUSED') reject(error);
      else done();
    });
  });
}

// ---------------------------------------------------------------------------------------------- HTTP/2, not quite gRPC

export interface CallRow {
  readonly name: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  /** `status grpc-status grpc-message` of the answer. */
  readonly answer: RegExp;
}

const GRPC = {
  ':method': 'POST',
  ':path': '/quorate.v1.ClusterService/GetStatus',
  'content-type': 'application/grpc',
  te: 'trailers',
};

function message(payload: Buffer, flag = 0, length = payload.length): Buffer {
  const header = Buffer.alloc(5);
  header.writeUInt8(flag, 0);
  header.writeUInt32BE(length, 1);
  return Buffer.concat([header, payload]);
}

const EMPTY_MESSAGE = message(EMPTY);

export const CALL_ROWS: readonly CallRow[] = [
  { name: 'in order', headers: GRPC, body: EMPTY_MESSAGE, answer: /^200 0 / },
  { name: 'GET', headers: { ...GRPC, ':method': 'GET' }, body: EMPTY, answer: /^(405|200 (?!0 )\d+) / },
  { name: 'JSON', headers: { ...GRPC, 'content-type': 'application/json' }, body: Buffer.from('{}'), answer: /^415 / },
  { name: 'no message', headers: GRPC, body: EMPTY, answer: /^200 12 Received no request message/ },
  {
    name: 'two messages',
    headers: GRPC,
    body: times(2, () => EMPTY_MESSAGE),
    answer: /^200 (12|13) .*(multiple|second|only one)/i,
  },
  {
    name: 'half a message',
    headers: GRPC,
    body: message(random(1, 10), 0, 100),
    answer: /^200 12 Received no request message/,
  },
  {
    name: 'half a frame header',
    headers: GRPC,
    body: EMPTY_MESSAGE.subarray(0, 3),
    answer: /^200 12 Received no request message/,
  },
  {
    name: 'a message of 4 GiB',
    headers: GRPC,
    body: message(EMPTY, 0, 0xffff_ffff),
    answer: /^200 8 .*larger than max/,
  },
  {
    name: 'compressed, without saying how',
    headers: GRPC,
    body: message(random(2, 10), 1),
    answer: /^200 3 the request is not a quorate/,
  },
  {
    name: 'an unknown compression',
    headers: { ...GRPC, 'grpc-encoding': 'snappy' },
    body: message(random(2, 10), 1),
    answer: /^200 12 ./,
  },
  {
    name: 'gzip that is none',
    headers: { ...GRPC, 'grpc-encoding': 'gzip' },
    body: message(random(2, 10), 1),
    answer: /^200 12 .*must not be compressed/,
  },
  {
    name: '64 MiB of zeroes in 64 KiB of gzip',
    headers: { ...GRPC, 'grpc-encoding': 'gzip' },
    body: message(gzipSync(Buffer.alloc(64 << 20)), 1),
    answer: /^200 12 .*must not be compressed/,
  },
  {
    name: 'a deadline that is none',
    headers: { ...GRPC, 'grpc-timeout': 'soon' },
    body: EMPTY_MESSAGE,
    answer: /^200 (3|13|0) /,
  },
  {
    name: 'a deadline that has passed',
    headers: { ...GRPC, 'grpc-timeout': '0n' },
    body: EMPTY_MESSAGE,
    answer: /^200 4 /,
  },
  {
    name: 'a deadline in a million years',
    headers: { ...GRPC, 'grpc-timeout': '99999999H' },
    body: EMPTY_MESSAGE,
    answer: /^200 0 /,
  },
  {
    name: 'a path of 8 KiB',
    headers: { ...GRPC, ':path': `/${'x'.repeat(8_192)}` },
    body: EMPTY_MESSAGE,
    answer: /^200 12 /,
  },
  {
    name: 'metadata that is no base64',
    headers: { ...GRPC, 'x-bin': '!!!' },
    body: EMPTY_MESSAGE,
    answer: /^200 \d+ /,
  },
];

/** One call over a connection of its own: `status grpc-status grpc-message`. */
export function callHttp2(address: string, row: CallRow): Promise<string> {
  return new Promise((resolve, reject) => {
    const session = connectHttp2(`http://${address}`);
    const seen: Record<string, unknown> = {};
    const over = (text: string): void => {
      session.destroy();
      resolve(text);
    };
    session.once('error', reject);
    const endStream = row.body.length === 0;
    const stream = session.request(row.headers, { endStream });
    stream.setTimeout(WAIT_MS, () => over('no answer'));
    for (const event of ['response', 'trailers'] as const) {
      stream.once(event, (headers: object) => void Object.assign(seen, headers));
    }
    stream.on('data', () => undefined);
    stream.on('error', (error) => over(`error ${error.message}`));
    stream.once('close', () => {
      over(
        `${String(seen[':status'])} ${String(seen['grpc-status'] ?? '-')} ${decodeURIComponent(String(seen['grpc-message'] ?? ''))}`,
      );
    });
    if (!endStream) stream.end(row.body);
  });
}

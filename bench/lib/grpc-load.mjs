/**
 * A gRPC client over plain `node:http2`, for loads that one fixed request cannot make: other keys, reads between writes, streams.
 * It needs several times the CPU time of h2load, for each system the same: ratios come out nearer to 1 than they are.
 */
import { connect } from 'node:http2';
import { grpcFrame } from './wire.mjs';

const SILENCE_MS_MAX = 60_000;

export class GrpcError extends Error {
  constructor(path, code, details) {
    super(`${path}: status ${code} ${decodeURIComponent(details ?? '')}`);
    this.code = code;
  }
}

/** Takes bytes in pieces, gives whole messages. */
class Messages {
  #bytes = Buffer.alloc(0);
  #onMessage;

  constructor(onMessage) {
    this.#onMessage = onMessage;
  }

  add(piece) {
    this.#bytes = this.#bytes.length === 0 ? piece : Buffer.concat([this.#bytes, piece]);
    while (this.#bytes.length >= 5) {
      const end = 5 + this.#bytes.readUInt32BE(1);
      if (this.#bytes.length < end) return;
      const message = this.#bytes.subarray(5, end);
      this.#bytes = this.#bytes.subarray(end);
      this.#onMessage(message);
    }
  }
}

export class GrpcLoad {
  #sessions;
  #next = 0;

  /** @param {readonly string[]} addresses @param {number} connections dealt out to the addresses in turn */
  constructor(addresses, connections) {
    this.#sessions = Array.from({ length: connections }, (_, i) => {
      const session = connect(`http://${addresses[i % addresses.length]}`);
      // A call on a broken connection fails by itself.
      session.on('error', () => undefined);
      // Nothing moves any more: calls fail instead of waiting for ever.
      session.setTimeout(SILENCE_MS_MAX, () => session.destroy());
      return session;
    });
  }

  #open(path) {
    this.#next = (this.#next + 1) % this.#sessions.length;
    const session = this.#sessions[this.#next];
    return session.request({ ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers' });
  }

  /** One call; its answer. Rejects with {@link GrpcError} when it was refused. */
  call({ path, body }) {
    return new Promise((resolve, reject) => {
      const stream = this.#open(path);
      let status = null;
      let answer = null;
      const take = (headers) => {
        if (headers['grpc-status'] !== undefined) status = headers;
      };
      const messages = new Messages((message) => {
        answer = message;
      });
      stream.on('response', take);
      stream.on('trailers', take);
      stream.on('data', (piece) => messages.add(piece));
      stream.on('error', reject);
      stream.on('close', () => {
        const code = Number(status?.['grpc-status'] ?? 2);
        if (code === 0 && answer !== null) resolve(answer);
        else reject(new GrpcError(path, code, status?.['grpc-message']));
      });
      stream.end(grpcFrame(body));
    });
  }

  /**
   * A stream of answers that goes on until this is closed; `onEnd` is told when it ends before. `bidirectional`: this side stays open as
   * well, because its end would be that of the call.
   */
  stream({ path, body, bidirectional }, onMessage, onEnd) {
    const stream = this.#open(path);
    const messages = new Messages(onMessage);
    stream.on('data', (piece) => messages.add(piece));
    stream.on('error', onEnd);
    stream.on('close', () => onEnd(new Error(`${path}: the stream has ended`)));
    if (bidirectional) stream.write(grpcFrame(body));
    else stream.end(grpcFrame(body));
  }

  /** `total` calls, so many at once; latencies in milliseconds and how long all of it took. `next` gives the i-th call. */
  async run(total, inFlight, next) {
    const latencies = new Float64Array(total);
    let started = 0;
    const worker = async () => {
      while (started < total) {
        const i = started++;
        const call = next(i);
        const startMs = performance.now();
        await this.call(call);
        latencies[i] = performance.now() - startMs;
      }
    };
    const startMs = performance.now();
    await Promise.all(Array.from({ length: Math.min(inFlight, total) }, worker));
    const seconds = (performance.now() - startMs) / 1_000;
    return { seconds, rate: total / seconds, latencies };
  }

  close() {
    for (const session of this.#sessions) session.destroy();
  }
}

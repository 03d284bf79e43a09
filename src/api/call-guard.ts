/**
 * Bounds what calls on the client port may hold of a member's memory while their clients are slow, or hostile: requests
 * that are not complete, and answers that are not taken. Deadlines do not bound these: a client need not set one, and the
 * handlers' own begins when the request is complete. It is always the oldest call that gives way, so that whoever holds
 * many keeps nobody else out.
 *
 * The connection's HTTP/2 streams are bounded by CLIENT_STREAMS_MAX; watches and pipelines bound their own answers (WATCHES_MAX,
 * PIPELINES_BYTES_MAX), and what pipelines have read.
 */
import {
  status as Code,
  Metadata,
  type ServerInterceptingCallInterface as NextCall,
  ServerInterceptingCall,
  type ServerInterceptor,
} from '@grpc/grpc-js';
import type { StatusError } from '../rpc/status.ts';
import { assert } from '../types/assert.ts';
import {
  PAGE_BYTES_MAX,
  PARTIAL_CALL_BYTES_MAX,
  PARTIAL_CALL_MS_MAX,
  PARTIAL_CALLS_MAX,
  UNTAKEN_ANSWER_BYTES_MAX,
  UNTAKEN_ANSWER_MS_MAX,
  UNTAKEN_ANSWER_STALE_MS,
} from '../types/limits.ts';
import { failure } from './errors.ts';

type InterceptingServerListener = Parameters<ServerInterceptingCall['start']>[0];

/** What the guard needs of an HTTP/2 stream. */
interface Stream {
  on(event: 'data', listener: (data: Buffer) => void): unknown;
  once(event: 'close', listener: () => void): unknown;
  close(code: number): void;
  destroy(): void;
}

/** What the handler of a stream of requests can do with it, beyond what grpc-js offers. */
export interface StreamControl {
  /** From now on each request is read when it is asked for: grpc-js would read ahead. To be called before it reads. */
  readOneByOne(): void;
  /** Asks for the next request; asking again before it has come changes nothing. */
  readNext(): void;
  /** Ends it at once, past what was written and was not taken, and gives that up. */
  cut(): void;
}

/** By what a handler has of its call, too. */
const controls = new WeakMap<Metadata, StreamControl>();

export function controlOf({ metadata }: { readonly metadata: Metadata }): StreamControl {
  const control = controls.get(metadata);
  assert(control !== undefined, 'the server has the guard, and the call is a stream of requests');
  return control;
}

/**
 * One byte that is compressed may stand for a thousand, and grpc-js inflates all that comes in one frame at once, whatever was asked for: 100 calls
 * with a frame of 16 KiB each took a member 1.8 GiB. The answer of a server that inflates nothing (gRPC, compression.md).
 */
const COMPRESSED = 'requests must not be compressed; nothing was done';
const ACCEPTED = 'grpc-accept-encoding';
const PLAIN_ONLY = new Metadata();
PLAIN_ONLY.set(ACCEPTED, 'identity');

/** Error codes of RST_STREAM (RFC 9113, section 7). */
const NO_ERROR = 0;
const CANCEL = 8;

const SWEEP_MS = 500;
/** How long a stream that is cut may take to be closed, milliseconds; then what waits in it is given up. */
const CUT_MS = 1_000;

/** Tests use small ones. */
export interface CallGuardLimits {
  readonly partialCallsMax: number;
  readonly partialBytesMax: number;
  readonly partialMs: number;
  readonly untakenBytesMax: number;
  readonly untakenMs: number;
  readonly untakenStaleMs: number;
}

const LIMITS: CallGuardLimits = {
  partialCallsMax: PARTIAL_CALLS_MAX,
  partialBytesMax: PARTIAL_CALL_BYTES_MAX,
  partialMs: PARTIAL_CALL_MS_MAX,
  untakenBytesMax: UNTAKEN_ANSWER_BYTES_MAX,
  untakenMs: UNTAKEN_ANSWER_MS_MAX,
  untakenStaleMs: UNTAKEN_ANSWER_STALE_MS,
};

/** One for each server: what it counts is the member's. */
export function callGuard(limits: Partial<CallGuardLimits> = {}): ServerInterceptor {
  const guard = new Guard({ ...LIMITS, ...limits });
  return (method, call) => new GuardedCall(guard, method.path, method.requestStream, method.responseStream, call);
}

/** Calls that hold something, the one that began first in front, and what they hold together. */
class Holders {
  /** When each began to hold, milliseconds of the process. */
  readonly #since = new Map<GuardedCall, number>();
  readonly #bytesOf: (call: GuardedCall) => number;
  bytes = 0;

  constructor(bytesOf: (call: GuardedCall) => number) {
    this.#bytesOf = bytesOf;
  }

  get size(): number {
    return this.#since.size;
  }

  add(call: GuardedCall): void {
    if (!this.#since.has(call)) this.#since.set(call, performance.now());
  }

  /** Before its bytes are set to 0. */
  delete(call: GuardedCall): void {
    if (this.#since.delete(call)) this.bytes -= this.#bytesOf(call);
    assert(this.bytes >= 0, 'what calls hold is counted');
  }

  /** The first, if it has held for `ms`. */
  oldest(ms: number): GuardedCall | null {
    for (const [call, since] of this.#since) return performance.now() - since >= ms ? call : null;
    return null;
  }
}

class Guard {
  readonly limits: CallGuardLimits;
  /** Calls whose request is not complete. */
  readonly partial = new Holders((call) => call.requestBytes);
  /** Those of them that hold bytes. */
  readonly received = new Holders((call) => call.requestBytes);
  readonly untaken = new Holders((call) => call.answerBytes);
  #sweep: NodeJS.Timeout | null = null;

  constructor(limits: CallGuardLimits) {
    this.limits = limits;
  }

  begin(call: GuardedCall): void {
    this.partial.add(call);
    if (this.partial.size > this.limits.partialCallsMax)
      this.partial.oldest(0)?.refuse('the member has too many calls');
    this.#watch();
  }

  receive(call: GuardedCall, bytes: number): void {
    this.partial.add(call);
    this.received.add(call);
    call.requestBytes += bytes;
    this.partial.bytes += bytes;
    this.received.bytes += bytes;
    while (this.received.bytes > this.limits.partialBytesMax) {
      const oldest = this.received.oldest(0);
      assert(oldest !== null, 'somebody holds the bytes');
      oldest.refuse('the member holds too many');
    }
    this.#watch();
  }

  complete(call: GuardedCall): void {
    this.partial.delete(call);
    this.received.delete(call);
    call.requestBytes = 0;
  }

  /** Whether there is room for an answer, if need be that of one which nobody has taken for a while. */
  roomFor(bytes: number): boolean {
    while (this.untaken.bytes + bytes > this.limits.untakenBytesMax) {
      const stale = this.untaken.oldest(this.limits.untakenStaleMs);
      if (stale === null) return false;
      stale.cut();
    }
    return true;
  }

  hand(call: GuardedCall, bytes: number): void {
    this.untaken.add(call);
    call.answerBytes = bytes;
    this.untaken.bytes += bytes;
    this.#watch();
  }

  taken(call: GuardedCall): void {
    this.untaken.delete(call);
    call.answerBytes = 0;
  }

  /** Time does not pass by itself: a timer runs while there is a call to watch. */
  #watch(): void {
    if (this.#sweep !== null) return;
    const sweepMs = Math.min(SWEEP_MS, this.limits.partialMs, this.limits.untakenMs);
    this.#sweep = setTimeout(() => {
      this.#sweep = null;
      const { partialMs, untakenMs } = this.limits;
      for (let late = this.partial.oldest(partialMs); late !== null; late = this.partial.oldest(partialMs))
        late.expire();
      for (let late = this.untaken.oldest(untakenMs); late !== null; late = this.untaken.oldest(untakenMs)) late.cut();
      if (this.partial.size + this.untaken.size > 0) this.#watch();
    }, sweepMs).unref();
  }
}

class GuardedCall extends ServerInterceptingCall implements StreamControl {
  readonly #compressed: boolean;
  requestBytes = 0;
  answerBytes = 0;
  readonly #guard: Guard;
  readonly #next: NextCall;
  readonly #stream: Stream;
  /** Its request has one message: it is complete when the client has nothing more to say. */
  readonly #manyRequests: boolean;
  readonly #manyAnswers: boolean;
  readonly #reads: boolean;
  /** A request has reached its handler. */
  #begun = false;
  /** Who has asked for the next request: the handler, grpc-js, both, or nobody; `free` where the handler need not. */
  #reading: 'free' | 'nobody' | 'handler' | 'grpc' | 'both' = 'free';
  #over = false;
  #cut = false;

  constructor(guard: Guard, path: string, manyRequests: boolean, manyAnswers: boolean, next: NextCall) {
    super(next);
    this.#guard = guard;
    this.#next = next;
    const { stream, incomingEncoding } = insideOf(next);
    this.#stream = stream;
    this.#compressed = incomingEncoding !== 'identity';
    this.#manyRequests = manyRequests;
    this.#manyAnswers = manyAnswers;
    this.#reads = /\/(Get|List)[^/]*$/.test(path);
    guard.begin(this);
    // grpc-js has paused the stream, and a second listener does not let it flow.
    this.#stream.on('data', (data: Buffer) => {
      if (!this.#over) guard.receive(this, data.length);
    });
    this.#stream.once('close', () => this.#release());
  }

  override start(listener: InterceptingServerListener): void {
    super.start({
      onReceiveMetadata: (metadata) => {
        if (this.#compressed) {
          this.#end({ code: Code.UNIMPLEMENTED, details: COMPRESSED, metadata: PLAIN_ONLY });
          return;
        }
        if (this.#manyRequests) controls.set(metadata, this);
        listener.onReceiveMetadata(metadata);
      },
      onReceiveMessage: (message) => {
        if (this.#over) return;
        if (this.#manyRequests) {
          this.#guard.complete(this);
          this.#begun = true;
        }
        if (this.#reading === 'both') this.#reading = 'nobody';
        listener.onReceiveMessage(message);
      },
      onReceiveHalfClose: () => {
        if (this.#over) return;
        this.#guard.complete(this);
        // Before the work: pages that nobody may have would only be garbage.
        if (this.#reads && !this.#guard.roomFor(PAGE_BYTES_MAX)) this.#tooSlow();
        else listener.onReceiveHalfClose();
      },
      onCancel: () => {
        this.#release();
        listener.onCancel();
      },
    });
  }

  readOneByOne(): void {
    this.#reading = 'nobody';
  }

  readNext(): void {
    if (this.#reading === 'nobody') this.#reading = 'handler';
    else if (this.#reading === 'grpc') this.#read();
  }

  override startRead(): void {
    if (this.#reading === 'free') super.startRead();
    else if (this.#reading === 'handler') this.#read();
    else if (this.#reading === 'nobody') this.#reading = 'grpc';
  }

  #read(): void {
    // First, as what has arrived already is delivered from within.
    this.#reading = 'both';
    super.startRead();
  }

  /** grpc-js would offer to inflate. */
  override sendMetadata(metadata: Metadata): void {
    metadata.set(ACCEPTED, 'identity');
    super.sendMetadata(metadata);
  }

  override sendMessage(message: unknown, callback: () => void): void {
    if (this.#over) return;
    // What is no buffer is the health service's, two bytes.
    if (this.#manyAnswers || !Buffer.isBuffer(message)) {
      super.sendMessage(message, callback);
      return;
    }
    // What changes something must be answered with the truth; such answers are small, and bounded in number.
    if (!this.#guard.roomFor(message.length) && this.#reads) {
      this.#tooSlow();
      return;
    }
    this.#guard.hand(this, message.length);
    super.sendMessage(message, () => {
      this.#guard.taken(this);
      callback();
    });
  }

  refuse(why: string): void {
    this.#giveUp('OVERLOADED', `the request was not complete, and ${why} of those`);
  }

  expire(): void {
    this.#giveUp('DEADLINE_EXPIRED', `the request was not complete within ${this.#guard.limits.partialMs} ms`);
  }

  /** Of a stream, requests before the one that is not complete may have been carried out. */
  #giveUp(reason: 'OVERLOADED' | 'DEADLINE_EXPIRED', why: string): void {
    if (this.#begun) this.#end(failure('INDETERMINATE', `${why}; what was asked before and has no answer may be done`));
    else this.#end(failure(reason, `${why}; nothing was done`));
  }

  /** What was written waits in the HTTP/2 stream, and a status would wait behind it. */
  cut(): void {
    this.#release();
    if (this.#cut) return;
    this.#cut = true;
    this.#stream.close(CANCEL);
    // Where the connection is stuck, too, the stream is not closed. Not at once: the client would not hear of it.
    const insist = setTimeout(() => this.#stream.destroy(), CUT_MS).unref();
    this.#stream.once('close', () => clearTimeout(insist));
  }

  #end(status: StatusError): void {
    this.#release();
    // Past the call's own queue: nothing may be in the way of the last word.
    this.#next.sendStatus(status);
    // The client may go on for ever; what it sent is kept as long as the stream is open.
    setImmediate(() => this.#stream.close(NO_ERROR));
  }

  #tooSlow(): void {
    super.sendStatus(failure('OVERLOADED', 'clients take the answers of this member too slowly; nothing was done'));
  }

  #release(): void {
    this.#over = true;
    this.#guard.complete(this);
    this.#guard.taken(this);
  }
}

interface Inside {
  readonly stream: Stream;
  readonly incomingEncoding: string;
}

/**
 * grpc-js has no way to reset a stream, to see what arrives, nor to tell whether it is compressed. The first interceptor of a chain gets the
 * call that has it.
 */
function insideOf(call: NextCall): Inside {
  const { stream, incomingEncoding } = call as NextCall & Partial<Inside>;
  assert(stream !== undefined, 'the guard is the first interceptor, and grpc-js keeps the stream in its call');
  assert(incomingEncoding !== undefined, 'grpc-js keeps the encoding of requests in its call');
  return { stream, incomingEncoding };
}

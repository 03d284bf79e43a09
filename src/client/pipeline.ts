/**
 * Calls to one member over one stream (PipelineService): what piles up travels together. A call that was not written yet has certainly
 * not reached the member; what became of one that was, and has no answer when the stream breaks, is not known.
 *
 * Answers come in order, so one that is slow holds up those behind it. A stream that brings nothing for a while is written to no more, and
 * whatever was not written goes by itself, as much at a time as there is room for: should the member be lost, no more than that is in doubt.
 */
import { type ClientDuplexStream, status as Code } from '@grpc/grpc-js';
import type { ExecuteRequest, ExecuteResponse, PipelinedAnswer } from '../gen/quorate/v1/pipeline_pb.ts';
import { parseStatus } from '../rpc/status.ts';
import { PIPELINE_CALLS_MAX } from '../types/limits.ts';
import { LAST_TRY_MIN_MS } from './retry.ts';

export type PipelineOutcome =
  | { readonly kind: 'answer'; readonly answer: PipelinedAnswer }
  /** Its time was over, or all but over, before it was sent. */
  | { readonly kind: 'late' }
  /** It was not sent, and is better sent by itself. */
  | { readonly kind: 'aside' }
  /** It was not sent, since the front and those that went by themselves have had no answer for long. */
  | { readonly kind: 'held' }
  /** It was sent, and no answer came in time, on a stream that is not broken: it may have been carried out. */
  | { readonly kind: 'silent' }
  /**
   * The stream ended, or nobody waits any more. `sent`: it may have been carried out. `unread`: the member has no pipelines, or no room
   * for one, and has read nothing of the stream.
   */
  | { readonly kind: 'broken'; readonly error: unknown; readonly sent: boolean; readonly unread: boolean };

export interface PipelineRequest {
  readonly method: string;
  readonly bytes: Uint8Array;
  /** From when it is sent until its answer is there, milliseconds. */
  readonly tryMs: number;
  /** In all: what it may wait to be sent, too. */
  readonly leftMs: number;
  readonly signal?: AbortSignal | undefined;
}

export type PipelineStream = ClientDuplexStream<ExecuteRequest, ExecuteResponse>;

/** Calls share a message up to this: the member takes none above 1 MiB. */
const MESSAGE_BYTES_MAX = 256 * 1024;
/** A stream on which nothing is under way for so long is closed, milliseconds: an open one keeps the process alive. */
const IDLE_MS = 500;
/** How long a stream that was closed may take to end, milliseconds. */
const END_MS = 2_000;
/** How often deadlines are looked at, milliseconds. The member keeps them, too; this is for one that says nothing any more. */
const SWEEP_MS = 50;
/** This process stood still when it looks so late, milliseconds: answers that came meanwhile have not been read yet. */
const STALL_MS = 200;
/** What the member may take longer than the call's own time, milliseconds: its answer is better than none. */
const GRACE_MS = 50;
/** An answer at the front that is waited for so long, milliseconds, holds up the others; it is noticed up to two sweeps later. */
const FRONT_MS = 150;
/** How long a call waits behind such a front for room to go by itself, milliseconds, before its caller may look for another member. */
const HELD_MS = 1_000;
/** An answer that is so late, milliseconds after the call's time, never comes: the others must not wait behind it. */
const OVERDUE_MS = 2_000;
/** A uint32; whoever waits longer has no deadline. */
const DEADLINE_MS_MAX = 2 ** 31;

interface Pending {
  readonly request: PipelineRequest;
  /** When its time is over, of the process's: all of it before it is sent, that of this try afterwards. */
  endMs: number;
  /** Since when it waits here, of the process's time. */
  readonly sinceMs: number;
  readonly settle: (outcome: PipelineOutcome) => void;
  sent: boolean;
  /** Nobody waits for it any more; if it was sent, its answer is still to come. */
  gone: boolean;
}

export class Pipeline {
  readonly #open: () => PipelineStream;
  readonly #onUnread: (retryAfterMs: number | null) => void;
  readonly #roomAside: () => number;
  #stream: PipelineStream | null = null;
  /** The stream has brought an answer. */
  #answering = false;
  #queue: Pending[] = [];
  /** Written and not answered, in order; those before `#first` are answered. */
  #sent: Pending[] = [];
  #first = 0;
  #method = '';
  #flushing = false;
  #blocked = false;
  /** The front holds up the others. */
  #stuck = false;
  #closed = false;
  /** The member stops: the stream is closed as soon as nothing is under way on it. */
  #leaving = false;
  #sweep: NodeJS.Timeout | null = null;
  #idleSinceMs = 0;
  #lookedAtMs = 0;
  #stalled = false;
  /** When the member answered last, or was sent something after it had answered everything. */
  #heardAtMs = 0;

  /**
   * `onUnread`: the member takes no pipeline now; null: it does not say for how long. `roomAside`: how many more calls may go by themselves.
   */
  constructor(open: () => PipelineStream, onUnread: (retryAfterMs: number | null) => void, roomAside: () => number) {
    this.#roomAside = roomAside;
    this.#open = open;
    this.#onUnread = onUnread;
  }

  /** Calls that somebody waits for. */
  size = 0;

  /** Whether the front holds up the others. */
  get stuck(): boolean {
    return this.#stuck;
  }

  /** Called when one that went by itself is over: another one may. */
  asideDone(): void {
    if (!this.#stuck || this.#roomAside() <= 0) return;
    const nowMs = performance.now();
    const next = this.#queue.findIndex(({ gone, endMs }) => !gone && endMs - nowMs >= LAST_TRY_MIN_MS);
    const pending = this.#queue[next];
    if (pending === undefined) return;
    this.#settle(pending, { kind: 'aside' });
    // Those before it are gone, or late.
    for (const one of this.#queue.splice(0, next + 1)) this.#settle(one, { kind: 'late' });
  }

  call(request: PipelineRequest): Promise<PipelineOutcome> {
    return new Promise((resolve) => {
      const { leftMs, signal } = request;
      const onAbort = (): void => this.#giveUp(pending, signal?.reason);
      const settle = (outcome: PipelineOutcome): void => {
        // One that has fired has let go of its listeners, and would look through all of them.
        if (signal?.aborted !== true) signal?.removeEventListener('abort', onAbort);
        resolve(outcome);
      };
      const sinceMs = performance.now();
      const pending: Pending = { request, endMs: sinceMs + leftMs, sinceMs, settle, sent: false, gone: false };
      this.size += 1;
      if (this.#closed) {
        this.#giveUp(pending, CLOSED);
        return;
      }
      if (leftMs < LAST_TRY_MIN_MS) {
        this.#settle(pending, { kind: 'aside' });
        return;
      }
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#queue.push(pending);
      this.#watch();
      this.#flushSoon();
    });
  }

  close(): void {
    this.#closed = true;
    const stream = this.#stream;
    this.#broken(CLOSED);
    stream?.cancel();
    this.#stopWatching();
  }

  /** The member waits for its streams to end. */
  leave(): void {
    this.#leaving = true;
    this.#restIfLeft();
  }

  #restIfLeft(): void {
    if (this.#leaving && this.#unanswered === 0 && this.#queue.length === 0) this.#rest();
  }

  #flushSoon(): void {
    if (this.#flushing || this.#blocked) return;
    this.#flushing = true;
    // Whoever calls in the same turn is on the same message.
    setImmediate(() => {
      this.#flushing = false;
      try {
        this.#flush();
      } catch (error) {
        // The channel went, or a message could not be made: nothing of it was written.
        this.#break(error);
      }
    });
  }

  get #unanswered(): number {
    return this.#sent.length - this.#first;
  }

  #flush(): void {
    while (!this.#blocked && !this.#stuck && this.#queue.length > 0 && this.#unanswered < PIPELINE_CALLS_MAX) {
      this.#stream ??= this.#connect();
      const message = this.#message();
      if (message.calls.length > 0) this.#blocked = !this.#stream.write(message);
    }
  }

  /** Takes what fits one message off the queue. */
  #message(): ExecuteRequest {
    const calls: ExecuteRequest['calls'] = [];
    const room = PIPELINE_CALLS_MAX - this.#unanswered;
    let bytes = 0;
    let taken = 0;
    const nowMs = performance.now();
    if (this.#unanswered === 0) this.#heardAtMs = nowMs;
    for (const pending of this.#queue) {
      if (calls.length >= room || (calls.length > 0 && bytes + pending.request.bytes.length > MESSAGE_BYTES_MAX)) break;
      taken += 1;
      // A try that is all but certain to get no answer in time would put in doubt what is certain.
      if (pending.endMs - nowMs < LAST_TRY_MIN_MS) this.#settle(pending, { kind: 'late' });
      if (pending.gone) continue;
      pending.sent = true;
      const { method, bytes: request, tryMs } = pending.request;
      const known = method === this.#method;
      this.#method = method;
      pending.endMs = Math.min(pending.endMs, nowMs + tryMs);
      const deadlineMs = forMember(pending.endMs - nowMs);
      calls.push({ $typeName: 'quorate.v1.PipelinedCall', method: known ? '' : method, request, deadlineMs });
      this.#sent.push(pending);
      bytes += request.length + method.length;
    }
    this.#queue = this.#queue.slice(taken);
    return { $typeName: 'quorate.v1.ExecuteRequest', calls };
  }

  #connect(): PipelineStream {
    const stream = this.#open();
    this.#method = '';
    this.#blocked = false;
    this.#stuck = false;
    this.#answering = false;
    this.#leaving = false;
    stream.on('data', ({ answers }: ExecuteResponse) => {
      if (stream === this.#stream) this.#answered(answers);
    });
    stream.on('drain', () => {
      if (stream !== this.#stream) return;
      this.#blocked = false;
      this.#flushSoon();
    });
    const over = (error: unknown): void => {
      if (stream === this.#stream) this.#broken(error);
    };
    stream.on('error', over);
    stream.on('end', () => over({ code: Code.UNAVAILABLE, details: 'the member ended the stream' }));
    return stream;
  }

  #answered(answers: readonly PipelinedAnswer[]): void {
    this.#answering = true;
    if (answers.length > 0) {
      this.#heardAtMs = performance.now();
      this.#stuck = false;
    }
    for (const answer of answers) {
      const pending = this.#sent[this.#first];
      if (pending === undefined) {
        this.#break({ code: Code.INTERNAL, details: 'the member answered what it was not asked' });
        return;
      }
      this.#first += 1;
      this.#settle(pending, { kind: 'answer', answer });
    }
    if (this.#unanswered === 0 || this.#first >= PIPELINE_CALLS_MAX) {
      this.#sent = this.#sent.slice(this.#first);
      this.#first = 0;
    }
    if (this.#queue.length > 0) this.#flushSoon();
    this.#restIfLeft();
  }

  #settle(pending: Pending, outcome: PipelineOutcome): void {
    if (pending.gone) return;
    pending.gone = true;
    this.size -= 1;
    pending.settle(outcome);
  }

  #giveUp(pending: Pending, error: unknown): void {
    // Whoever comes by takes it off the queue: to look for it would cost many that are given up together too much.
    this.#settle(pending, { kind: 'broken', error, sent: pending.sent, unread: false });
  }

  /** Ends a stream that is of no use. */
  #break(error: unknown): void {
    const stream = this.#stream;
    this.#broken(error);
    stream?.cancel();
  }

  #broken(error: unknown): void {
    const unread = !this.#answering && this.#unanswered > 0 && refusesStreams(error);
    if (unread) this.#onUnread(parseStatus(error).retryAfterMs);
    const [sent, queue] = this.#letGo();
    for (const pending of sent) this.#settle(pending, { kind: 'broken', error, sent: true, unread });
    for (const pending of queue) this.#settle(pending, { kind: 'broken', error, sent: false, unread });
  }

  /** Ends a stream whose front never comes. */
  #giveUpStream(): void {
    const stream = this.#stream;
    const [sent, queue] = this.#letGo();
    for (const pending of sent) this.#settle(pending, { kind: 'silent' });
    for (const pending of queue) this.#settle(pending, { kind: 'held' });
    stream?.cancel();
  }

  /** What was sent and has no answer, and what was not sent. */
  #letGo(): [sent: readonly Pending[], queue: readonly Pending[]] {
    const sent = this.#sent.slice(this.#first);
    const queue = this.#queue;
    this.#stream = null;
    this.#sent = [];
    this.#first = 0;
    this.#queue = [];
    this.#blocked = false;
    this.#stuck = false;
    return [sent, queue];
  }

  /** While there is a stream or a call. */
  #watch(): void {
    this.#idleSinceMs = performance.now();
    if (this.#sweep !== null) return;
    this.#lookedAtMs = this.#idleSinceMs;
    this.#sweep = setInterval(() => this.#look(performance.now()), SWEEP_MS);
  }

  #stopWatching(): void {
    if (this.#sweep !== null) clearInterval(this.#sweep);
    this.#sweep = null;
  }

  #look(nowMs: number): void {
    const lookedAtMs = this.#lookedAtMs;
    // Once: one that always stands still must come to an end, too.
    this.#stalled = !this.#stalled && nowMs - lookedAtMs >= STALL_MS;
    this.#lookedAtMs = nowMs;
    if (this.#stalled) return;
    const front = this.#sent[this.#first];
    if (front !== undefined && front.endMs + OVERDUE_MS <= nowMs) {
      this.#giveUpStream();
      return;
    }
    // It was waited for as long the time before: what had come until then has been read since.
    if (front !== undefined && lookedAtMs - this.#heardAtMs >= FRONT_MS) this.#stuck = true;
    for (let i = this.#first; i < this.#sent.length; i += 1) {
      const pending = this.#sent[i];
      if (pending !== undefined && pending.endMs + GRACE_MS <= nowMs) this.#settle(pending, { kind: 'silent' });
    }
    this.#lookAtQueue(nowMs);
    if (this.size > 0 || this.#unanswered > 0) this.#idleSinceMs = nowMs;
    else if (nowMs - this.#idleSinceMs >= IDLE_MS) this.#rest();
  }

  #lookAtQueue(nowMs: number): void {
    if (!this.#stuck && !this.#queue.some(({ gone, endMs }) => gone || endMs - nowMs < LAST_TRY_MIN_MS)) return;
    const queue = this.#queue;
    this.#queue = [];
    let room = this.#stuck ? this.#roomAside() : 0;
    for (const pending of queue) {
      if (pending.endMs - nowMs < LAST_TRY_MIN_MS) this.#settle(pending, { kind: 'late' });
      else if (room > 0 && !pending.gone) {
        room -= 1;
        this.#settle(pending, { kind: 'aside' });
      } else if (this.#stuck && nowMs - pending.sinceMs >= HELD_MS) this.#settle(pending, { kind: 'held' });
      else if (!pending.gone) this.#queue.push(pending);
    }
  }

  #rest(): void {
    this.#stopWatching();
    const stream = this.#stream;
    this.#stream = null;
    // Its drain is heard by nobody.
    this.#blocked = false;
    if (stream === null) return;
    const insist = setTimeout(() => stream.cancel(), END_MS);
    stream.once('close', () => clearTimeout(insist));
    stream.once('end', () => clearTimeout(insist));
    stream.end();
  }
}

const CLOSED = { code: Code.CANCELLED, details: 'this client is closed' };

/** Milliseconds for the member; 0: no deadline. */
function forMember(ms: number): number {
  return ms >= DEADLINE_MS_MAX ? 0 : Math.max(1, Math.ceil(ms));
}

/** The member has no such service (an older one), or no room for another stream: it has read nothing. */
function refusesStreams(error: unknown): boolean {
  const { code, reason } = parseStatus(error);
  return reason === 'NO_PIPELINE' || (code === Code.UNIMPLEMENTED && reason === '');
}

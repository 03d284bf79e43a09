/**
 * PipelineService: many commands on one stream (issue 6). A call goes through the same handler as one that comes by itself; only the frame
 * around it differs.
 *
 * PL1 Answers leave in the order of the calls.
 * PL2 What a stream may hold is bounded: calls without an answer, bytes of their requests, and of answers that the client has not taken.
 *     Beyond it nothing that was read begins, and nothing is read.
 * PL3 All streams of a member together hold a bounded number of bytes: the largest of the connection that holds most gives way. So does one
 *     whose client takes nothing for a minute, and, where there are too many, the one that has had nothing to do for longest. One connection
 *     has a bounded number of streams.
 * PL4 A stream that ends says nothing of what has no answer, but for NO_PIPELINE, when nothing of it was read.
 * PL5 A member that stops ends no stream under a client that goes on: it refuses each further call, and ends the stream when none has come
 *     for a second, counted from when it began to stop. What is sent to a stream that ends would be of unknown outcome.
 */
import { toBinary } from '@bufbuild/protobuf';
import { BinaryReader } from '@bufbuild/protobuf/wire';
import { status as Code, type ServerDuplexStream } from '@grpc/grpc-js';
import { type Status, StatusSchema } from '../gen/google/rpc/status_pb.ts';
import {
  ExecuteResponseSchema,
  type PipelinedAnswer,
  type PipelinedCall,
  PipelineService,
} from '../gen/quorate/v1/pipeline_pb.ts';
import { encodeMessage } from '../rpc/service.ts';
import { type StatusError, statusOf } from '../rpc/status.ts';
import {
  PIPELINE_BYTES_MAX,
  PIPELINE_CALLS_MAX,
  PIPELINE_IDLE_MS,
  PIPELINE_MESSAGE_BYTES_MAX,
  PIPELINE_SLOT_BYTES,
  UNTAKEN_ANSWER_MS_MAX,
} from '../types/limits.ts';
import { controlOf, type StreamControl } from './call-guard.ts';
import type { ApiContext } from './context.ts';
import { failure } from './errors.ts';
import { type Guest, PipelineRoom } from './pipeline-room.ts';
import { checkMetadata, decodeRequest, type RawUnaryHandler, type UnaryCall } from './unary.ts';

type Call = ServerDuplexStream<Buffer, Buffer>;

export interface Pipelines {
  readonly handlers: { readonly execute: (call: Call) => void };
  /** The member stops: further calls and new streams are refused (PL5). */
  retire(): void;
}

/** `methods`: handlers of the commands by path. */
export function createPipelines(context: ApiContext, methods: ReadonlyMap<string, RawUnaryHandler>): Pipelines {
  const room = new PipelineRoom();
  const { memberId, logger } = context;
  const onBug = (method: string, error: unknown): void =>
    logger.error({ err: error, method }, 'a handler failed: this is a bug');
  const execute = (call: Call): void => {
    const control = controlOf(call);
    const tooLarge = checkMetadata(call.metadata);
    // How grpc-js ends a stream with a status.
    if (tooLarge !== null) call.emit('error', tooLarge);
    else if (room.makePlace(call.getPeer())) new Pipeline({ call, control, methods, room, onBug });
    else {
      const why = room.retired
        ? 'is stopping'
        : 'has too many pipelines, or this connection has; send single calls, or try later';
      call.emit('error', failure('NO_PIPELINE', `member ${memberId} ${why}`));
    }
  };
  return { handlers: { execute }, retire: () => room.retire() };
}

const EMPTY = Buffer.alloc(0);
const STOPPING = statusOf(failure('SHUTTING_DOWN', 'the member is stopping; nothing was done, ask another one'));
/** Longer ones are none of ours, and must not be kept. */
const METHOD_LENGTH_MAX = 128;

/** A call that has begun, and its answer once it is there. */
class Slot implements UnaryCall {
  readonly metadata = null;
  request: Buffer;
  answer: PipelinedAnswer | null = null;
  /** Of its request, and then of its answer. */
  bytes: number;
  readonly #deadline: number;
  readonly #pipeline: Pipeline;

  /** `cameAtMs`: Unix time at which it was read. */
  constructor(pipeline: Pipeline, { request, deadlineMs }: PipelinedCall, cameAtMs: number) {
    this.#pipeline = pipeline;
    this.request = Buffer.from(request.buffer, request.byteOffset, request.byteLength);
    this.bytes = PIPELINE_SLOT_BYTES + request.length;
    this.#deadline = deadlineMs === 0 ? Number.POSITIVE_INFINITY : cameAtMs + deadlineMs;
  }

  get cancelled(): boolean {
    return this.#pipeline.over;
  }

  getPeer(): string {
    return this.#pipeline.peer;
  }

  getDeadline(): number {
    return this.#deadline;
  }
}

interface PipelineDeps {
  readonly call: Call;
  readonly control: StreamControl;
  readonly methods: ReadonlyMap<string, RawUnaryHandler>;
  readonly room: PipelineRoom;
  readonly onBug: (method: string, error: unknown) => void;
}

class Pipeline implements Guest {
  readonly #deps: PipelineDeps;
  /** Read, and not begun; those before `#nextWaiting` have begun. */
  #waiting: readonly PipelinedCall[] = [];
  #nextWaiting = 0;
  #waitingBytes = 0;
  #cameAtMs = 0;
  /** Begun, in order. */
  #slots: Slot[] = [];
  #method = '';
  #flushing = false;
  /** The client takes nothing for now. */
  #blocked = false;
  #untakenMessages = 0;
  /** When the client took something last, while there is something to take. */
  #takenAtMs = 0;
  #busyAtMs = performance.now();
  /** The client has nothing more to say, or is not listened to any more. */
  #last = false;
  /** The member stops. */
  #refusing = false;
  /** Of what was read and is not answered, and of answers that were not taken. */
  heldBytes = 0;
  over = false;
  /** The other end of the connection. */
  readonly peer: string;

  constructor(deps: PipelineDeps) {
    this.#deps = deps;
    const { call, control, room } = deps;
    this.peer = call.getPeer();
    room.enter(this);
    control.readOneByOne();
    control.readNext();
    call.on('data', (bytes: Buffer) => this.#onData(bytes));
    call.on('drain', () => {
      this.#blocked = false;
      this.#flush();
    });
    call.on('end', () => this.giveWay());
    call.on('cancelled', () => this.#finish());
    call.on('close', () => {
      this.#finish();
      room.leave(this);
    });
  }

  get idleSinceMs(): number | null {
    const busy = this.#slots.length > 0 || this.#waiting.length > 0 || this.#untakenMessages > 0;
    return busy || this.over ? null : this.#busyAtMs;
  }

  giveWay(): void {
    this.#last = true;
    this.#endIfDone();
  }

  /** PL5. */
  retire(): void {
    this.#refusing = true;
    this.#busyAtMs = performance.now();
  }

  cut(): void {
    this.#finish();
    this.#deps.control.cut();
  }

  /** PL3, PL5. */
  look(nowMs: number): void {
    const idleSinceMs = this.idleSinceMs;
    if (this.#untakenMessages > 0 && nowMs - this.#takenAtMs >= UNTAKEN_ANSWER_MS_MAX) this.cut();
    else if (this.#refusing && idleSinceMs !== null && nowMs - idleSinceMs >= PIPELINE_IDLE_MS) this.giveWay();
  }

  #end(error: StatusError): void {
    if (this.over) return;
    this.#finish();
    this.#deps.call.emit('error', error);
    this.#leaveIfEmpty();
  }

  /** What it holds is counted until the stream is closed: until then it is held. */
  #finish(): void {
    this.over = true;
    this.#slots = [];
    this.#waiting = [];
    this.#nextWaiting = 0;
    this.#hold(-this.#waitingBytes);
    this.#waitingBytes = 0;
  }

  #hold(bytes: number): void {
    this.heldBytes += bytes;
    this.#deps.room.hold(this, bytes);
  }

  #onData(bytes: Buffer): void {
    if (this.over) return;
    // Before they are decoded: each would be an object many times its size.
    const message = tooManyCalls(bytes) ? null : decodeRequest(PipelineService.method.execute, bytes);
    if (message === null || !message.ok) {
      const why = message === null ? `more than ${PIPELINE_CALLS_MAX} calls in one message` : message.error.details;
      this.#end(failure('INDETERMINATE', `${why}; what has no answer may be done`));
      return;
    }
    this.#busyAtMs = performance.now();
    this.#waiting = message.value.calls;
    this.#nextWaiting = 0;
    this.#cameAtMs = Date.now();
    this.#waitingBytes = bytes.length;
    this.#hold(bytes.length);
    this.#begin();
  }

  /** PL2: begins what may begin, and reads on when nothing waits. */
  #begin(): void {
    while (!this.over && this.#nextWaiting < this.#waiting.length) {
      const begunBytes = this.heldBytes - this.#waitingBytes;
      if (this.#slots.length >= PIPELINE_CALLS_MAX || begunBytes >= PIPELINE_BYTES_MAX) return;
      const call = this.#waiting[this.#nextWaiting];
      this.#nextWaiting += 1;
      if (call !== undefined) this.#run(call);
    }
    if (this.over) return;
    this.#hold(-this.#waitingBytes);
    this.#waitingBytes = 0;
    this.#waiting = [];
    this.#nextWaiting = 0;
    if (this.#last) this.#endIfDone();
    else this.#deps.control.readNext();
  }

  #run(call: PipelinedCall): void {
    if (call.method !== '') this.#method = call.method.length > METHOD_LENGTH_MAX ? '' : call.method;
    const method = this.#method;
    const slot = new Slot(this, call, this.#cameAtMs);
    this.#slots.push(slot);
    this.#hold(slot.bytes);
    if (this.over) return;
    if (this.#refusing) {
      this.#answered(slot, EMPTY, STOPPING);
      return;
    }
    const handler = this.#deps.methods.get(method);
    if (handler === undefined) {
      const message = `${method || 'this method'} is no command that goes through a pipeline`;
      this.#answered(slot, EMPTY, { $typeName: 'google.rpc.Status', code: Code.UNIMPLEMENTED, message, details: [] });
      return;
    }
    try {
      handler(slot, (error, response) => {
        if (error !== null && error !== undefined) this.#answered(slot, EMPTY, statusOf(error as StatusError));
        else this.#answered(slot, response ?? EMPTY);
      });
    } catch (error) {
      this.#deps.onBug(method, error);
      this.#answered(slot, EMPTY, statusOf(failure('INDETERMINATE', `an internal error in ${method}`)));
    }
    // It is decoded; the rest of the message must not be kept for it.
    slot.request = EMPTY;
  }

  #answered(slot: Slot, response: Uint8Array, error?: Status): void {
    if (this.over || slot.answer !== null) return;
    slot.answer = { $typeName: 'quorate.v1.PipelinedAnswer', response, ...(error === undefined ? {} : { error }) };
    const requestBytes = slot.bytes;
    slot.bytes =
      PIPELINE_SLOT_BYTES + response.length + (error === undefined ? 0 : toBinary(StatusSchema, error).length);
    this.#hold(slot.bytes - requestBytes);
    if (this.#flushing || this.#slots[0]?.answer == null) return;
    // Answers of one batch of the log come one right after the other: they leave together.
    this.#flushing = true;
    setImmediate(() => {
      this.#flushing = false;
      this.#flush();
    });
  }

  /** PL1: whatever is ready at the front leaves. */
  #flush(): void {
    while (!this.over && !this.#blocked) {
      const answers: PipelinedAnswer[] = [];
      let bytes = 0;
      for (const { answer, bytes: own } of this.#slots) {
        if (answer === null || (answers.length > 0 && bytes + own > PIPELINE_MESSAGE_BYTES_MAX)) break;
        answers.push(answer);
        bytes += own;
      }
      if (answers.length === 0) break;
      this.#slots = this.#slots.slice(answers.length);
      const message = encodeMessage(ExecuteResponseSchema, { $typeName: 'quorate.v1.ExecuteResponse', answers });
      const held = bytes;
      if (this.#untakenMessages === 0) this.#takenAtMs = performance.now();
      this.#untakenMessages += 1;
      this.#blocked = !this.#deps.call.write(message, () => this.#taken(held));
    }
    if (!this.over) this.#begin();
  }

  #taken(bytes: number): void {
    this.#untakenMessages -= 1;
    this.#takenAtMs = performance.now();
    this.#busyAtMs = this.#takenAtMs;
    this.#hold(-bytes);
    if (!this.over && this.#waiting.length > 0) this.#begin();
    this.#leaveIfEmpty();
  }

  #endIfDone(): void {
    if (!this.#last || this.over || this.#slots.length > 0 || this.#waiting.length > 0) return;
    this.#finish();
    this.#deps.call.end();
    this.#leaveIfEmpty();
  }

  /** A stream that has ended holds its place as long as the client has not taken everything. */
  #leaveIfEmpty(): void {
    if (this.over && this.#untakenMessages === 0) this.#deps.room.leave(this);
  }
}

const CALLS_FIELD = 1;

function tooManyCalls(bytes: Uint8Array): boolean {
  const reader = new BinaryReader(bytes);
  let calls = 0;
  try {
    while (reader.pos < reader.len && calls <= PIPELINE_CALLS_MAX) {
      const [field, wireType] = reader.tag();
      if (field === CALLS_FIELD) calls += 1;
      reader.skip(wireType, field);
    }
  } catch {
    // Who decodes it says what is wrong with it.
  }
  return calls > PIPELINE_CALLS_MAX;
}

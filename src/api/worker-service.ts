/**
 * CompensationWorkerService: workers that ask the leader for compensations (L2). One stream is one worker: what it has not
 * answered when the stream ends goes back as failed tries.
 *
 * WS1  Nothing is queued for a worker but its tasks, at most its capacity, and a withdrawal for each.
 */
import type { ServerDuplexStream } from '@grpc/grpc-js';
import type { CallOutcome } from '../effector/hook.ts';
import type { WorkerLink, WorkerSeat, WorkerTask } from '../effector/worker-queues.ts';
import {
  CompensationWorkerService,
  WorkOutcome,
  type WorkRequest,
  type WorkResponse,
  WorkResponseSchema,
} from '../gen/quorate/v1/compensator_pb.ts';
import { encodeMessage } from '../rpc/service.ts';
import type { StatusError } from '../rpc/status.ts';
import { DATA_STREAM } from '../types/ids.ts';
import { err, ok, type Result } from '../types/result.ts';
import { Check } from './check.ts';
import type { ApiContext } from './context.ts';
import { failure, invalidArgument, refused } from './errors.ts';
import { checkMetadata, decodeRequest } from './unary.ts';

const QUEUES_MAX = 64;
const CAPACITY_MAX = 1_024;
const ERROR_LENGTH_MAX = 1_024;

type Call = ServerDuplexStream<Buffer, Buffer>;

/** Where workers find their tasks; null from `join`: this member does not lead. */
export interface WorkerRoom {
  join(link: WorkerLink): WorkerSeat | 'full' | null;
}

export interface WorkerHandlers {
  readonly work: (call: Call) => void;
}

export function workerHandlers(context: ApiContext, room: WorkerRoom): WorkerHandlers {
  return { work: (call) => new WorkStream(context, room, call).start() };
}

class WorkStream {
  readonly #context: ApiContext;
  readonly #room: WorkerRoom;
  readonly #call: Call;
  #seat: WorkerSeat | null = null;
  #over = false;

  constructor(context: ApiContext, room: WorkerRoom, call: Call) {
    this.#context = context;
    this.#room = room;
    this.#call = call;
  }

  start(): void {
    const tooLarge = checkMetadata(this.#call.metadata);
    if (tooLarge !== null) {
      this.#end(tooLarge);
      return;
    }
    this.#call.on('data', (bytes: Buffer) => this.#receive(bytes));
    // The worker has nothing more to say, so its tasks will not be answered.
    this.#call.on('end', () => this.#finish() && this.#call.end());
    this.#call.on('cancelled', () => this.#finish());
    this.#call.on('error', () => this.#finish());
  }

  #receive(bytes: Buffer): void {
    if (this.#over) return;
    const request = decodeRequest(CompensationWorkerService.method.work, bytes);
    const error = request.ok ? this.#take(request.value) : request.error;
    if (error !== null) this.#end(error);
  }

  #take({ message }: WorkRequest): StatusError | null {
    if (message.case === 'open') {
      if (this.#seat !== null) return invalid('open', 'only the first message may be this one');
      const queues = checkQueues(message.value.queues);
      if (!queues.ok) return queues.error;
      const capacity = message.value.capacity === 0 ? 1 : message.value.capacity;
      if (capacity > CAPACITY_MAX) return invalid('open.capacity', `must be at most ${CAPACITY_MAX}, not ${capacity}`);
      return this.#open(queues.value, capacity);
    }
    if (this.#seat === null) return invalid('open', 'must be the first message');
    if (message.case !== 'answer') return invalid('message', 'must be open or answer');
    const outcome = outcomeOf(message.value);
    if (outcome === null)
      return invalid('answer.outcome', 'must be WORK_OUTCOME_DONE, WORK_OUTCOME_FAILED or WORK_OUTCOME_STALE');
    // A task of another number was withdrawn: its answer comes too late.
    if (message.value.task <= BigInt(Number.MAX_SAFE_INTEGER)) this.#seat.answer(Number(message.value.task), outcome);
    return null;
  }

  #open(queues: readonly string[], capacity: number): StatusError | null {
    const { memberId } = this.#context;
    // The first thing that the worker hears, before any task.
    let opened = false;
    const early: WorkResponse['message'][] = [];
    const say = (message: WorkResponse['message']): void => {
      if (opened) this.#write(message);
      else early.push(message);
    };
    const seat = this.#room.join({
      queues,
      capacity,
      give: (task) => say({ case: 'task', value: taskMessage(task) }),
      withdraw: (id) => say({ case: 'withdrawn', value: { $typeName: 'quorate.v1.WorkWithdrawn', task: BigInt(id) } }),
      dismiss: () => this.#end(this.#notLeader()),
    });
    if (seat === null) return this.#notLeader();
    if (seat === 'full') return failure('OVERLOADED', `member ${memberId} has too many workers; try later`);
    this.#seat = seat;
    this.#write({ case: 'opened', value: { $typeName: 'quorate.v1.WorkOpened', memberId } });
    opened = true;
    for (const message of early) this.#write(message);
    return null;
  }

  #notLeader(): StatusError {
    const { member, memberId, addressOf } = this.#context;
    const { leader } = member.status(DATA_STREAM).raft;
    const message = `member ${memberId} does not lead; open the stream at the leader`;
    const other = leader === memberId ? null : leader;
    return refused({ kind: 'refused', reason: 'NOT_LEADER', leader: other, retryAfterMs: null, message }, addressOf);
  }

  #write(message: WorkResponse['message']): void {
    if (this.#over) return;
    this.#call.write(encodeMessage(WorkResponseSchema, { $typeName: 'quorate.v1.WorkResponse', message }));
  }

  #end(error: StatusError): void {
    // How grpc-js ends a stream with a status.
    if (this.#finish()) this.#call.emit('error', error);
  }

  /** False when it was over before. */
  #finish(): boolean {
    if (this.#over) return false;
    this.#over = true;
    this.#seat?.leave();
    return true;
  }
}

function invalid(field: string, description: string): StatusError {
  return invalidArgument([{ field, description }]);
}

function checkQueues(queues: readonly string[]): Result<readonly string[], StatusError> {
  const distinct = [...new Set(queues)];
  if (distinct.length < 1 || distinct.length > QUEUES_MAX) {
    return err(invalid('open.queues', `must name 1 to ${QUEUES_MAX} queues, not ${distinct.length}`));
  }
  // What no compensator can name would never get a task.
  const check = new Check();
  for (const [i, queue] of distinct.entries()) check.name(`open.queues[${i}]`, queue);
  const wrong = check.failure();
  return wrong === null ? ok(distinct) : err(wrong);
}

function outcomeOf(answer: { readonly outcome: WorkOutcome; readonly error: string }): CallOutcome | null {
  switch (answer.outcome) {
    case WorkOutcome.DONE:
      return { kind: 'done' };
    case WorkOutcome.STALE:
      return { kind: 'stale' };
    case WorkOutcome.FAILED:
      return { kind: 'failed', error: answer.error.slice(0, ERROR_LENGTH_MAX) || 'the worker did not say why' };
    default:
      return null;
  }
}

function taskMessage({ id, queue, call }: WorkerTask) {
  return {
    $typeName: 'quorate.v1.WorkTask',
    task: BigInt(id),
    queue,
    request: {
      $typeName: 'quorate.v1.CompensateRequest',
      key: call.key,
      token: BigInt(call.token),
      attempt: call.attempt,
      deadlineMs: BigInt(call.deadlineMs),
      confirmed: call.confirmed,
      loop: call.loop,
      g: BigInt(call.g),
      phase: call.phase,
      traceId: call.traceId,
      payload: call.payload,
    },
  } as const;
}

/**
 * Compensators as workers that come and ask for work (L2): queues by name, with the tasks that wait and the workers that are
 * there. The leader's memory alone: a task that is lost with it is a try that failed, and comes again with the same key.
 *
 * WQ1  A task is with one worker at most, and answered once: done, failed, stale, or out of time.
 * WQ2  A worker that leaves gives its tasks back as failed tries.
 * WQ3  A worker never has more tasks than its capacity.
 */
import type { Clock } from '../ports/clock.ts';
import { assert } from '../types/assert.ts';
import { type CallOutcome, type CompensationCall, failed, type Hook } from './hook.ts';

/** Workers at a time in one member. */
export const WORKERS_MAX = 1_024;

/** What a worker is given; `call.deadlineMs` is what is left of it. */
export interface WorkerTask {
  /** Unique while the member runs. */
  readonly id: number;
  readonly queue: string;
  readonly call: CompensationCall;
}

/** A worker as the queues see it. Its methods must not throw. */
export interface WorkerLink {
  /** Without a name twice. */
  readonly queues: readonly string[];
  readonly capacity: number;
  give(task: WorkerTask): void;
  /** The time for the task is over. */
  withdraw(id: number): void;
  /** Leadership has moved; the worker has no tasks any more. */
  dismiss(): void;
}

export interface WorkerSeat {
  /** Of a task that it does not have (any more): nothing happens. */
  answer(id: number, outcome: CallOutcome): void;
  leave(): void;
}

interface Task {
  readonly id: number;
  readonly queue: string;
  readonly call: CompensationCall;
  readonly endsAtMs: number;
  worker: Worker | null;
  readonly settle: (outcome: CallOutcome) => void;
}

interface Worker {
  readonly link: WorkerLink;
  readonly tasks: Map<number, Task>;
}

export class WorkerQueues implements Hook {
  readonly #clock: Clock;
  /** First come, first served. */
  readonly #waiting = new Map<string, Task[]>();
  readonly #workers = new Set<Worker>();
  #nextId = 1;
  #open = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Only the leader has tasks. */
  open(): void {
    this.#open = true;
  }

  /** Every task ends as failed, and every worker is sent away. */
  close(): void {
    this.#open = false;
    const workers = [...this.#workers];
    this.#workers.clear();
    for (const { link, tasks } of workers) {
      for (const task of [...tasks.values()]) task.settle(failed('the leadership has moved'));
      link.dismiss();
    }
    for (const task of [...this.#waiting.values()].flat()) task.settle(failed('the leadership has moved'));
    assert(this.#waiting.size === 0, 'no task is left');
  }

  /** null: this member does not lead. 'full': it has WORKERS_MAX workers. */
  join(link: WorkerLink): WorkerSeat | 'full' | null {
    if (!this.#open) return null;
    if (this.#workers.size >= WORKERS_MAX) return 'full';
    const worker: Worker = { link, tasks: new Map() };
    this.#workers.add(worker);
    this.#serve(worker);
    return {
      answer: (id, outcome) => {
        worker.tasks.get(id)?.settle(outcome);
        if (this.#workers.has(worker)) this.#serve(worker);
      },
      leave: () => {
        if (!this.#workers.delete(worker)) return;
        for (const task of [...worker.tasks.values()]) task.settle(failed('the worker has gone'));
      },
    };
  }

  call(call: CompensationCall, signal: AbortSignal): Promise<CallOutcome> {
    if (!this.#open || signal.aborted) return Promise.resolve(failed('the leadership has moved'));
    return new Promise((resolve) => {
      const task: Task = {
        id: this.#nextId++,
        queue: call.target,
        call,
        endsAtMs: this.#clock.monotonicMs() + call.deadlineMs,
        worker: null,
        settle: (outcome) => {
          cancelTimer();
          signal.removeEventListener('abort', onAbort);
          this.#forget(task);
          resolve(outcome);
        },
      };
      const onAbort = (): void => task.settle(failed('the call was given up: the member stops'));
      const cancelTimer = this.#clock.after(call.deadlineMs, () => this.#late(task));
      signal.addEventListener('abort', onAbort, { once: true });
      this.#waiting.set(task.queue, [...(this.#waiting.get(task.queue) ?? []), task]);
      const worker = this.#idle(task.queue);
      if (worker !== null) this.#serve(worker);
    });
  }

  #late(task: Task): void {
    const { worker, call, id, queue } = task;
    const what = worker === null ? `no worker has taken it from queue ${queue}` : 'the worker gave no answer';
    task.settle(failed(`${what} within ${call.deadlineMs} ms`));
    if (worker === null) return;
    worker.link.withdraw(id);
    if (this.#workers.has(worker)) this.#serve(worker);
  }

  #forget(task: Task): void {
    task.worker?.tasks.delete(task.id);
    const waiting = this.#waiting.get(task.queue);
    if (task.worker !== null || waiting === undefined) return;
    const rest = waiting.filter((one) => one !== task);
    if (rest.length > 0) this.#waiting.set(task.queue, rest);
    else this.#waiting.delete(task.queue);
  }

  /** The worker of the queue with most room; the one that came first among equals. */
  #idle(queue: string): Worker | null {
    let best: Worker | null = null;
    let bestRoom = 0;
    for (const worker of this.#workers) {
      const room = worker.link.capacity - worker.tasks.size;
      if (room > bestRoom && worker.link.queues.includes(queue)) {
        best = worker;
        bestRoom = room;
      }
    }
    return best;
  }

  /** Gives the worker what it has room for: of its queues the task that has waited longest. */
  #serve(worker: Worker): void {
    while (worker.tasks.size < worker.link.capacity) {
      let oldest: Task | null = null;
      for (const queue of worker.link.queues) {
        const first = this.#waiting.get(queue)?.[0] ?? null;
        if (first !== null && (oldest === null || first.id < oldest.id)) oldest = first;
      }
      if (oldest === null) return;
      this.#assign(oldest, worker);
    }
  }

  #assign(task: Task, worker: Worker): void {
    assert(task.worker === null, 'a task is with one worker at most');
    this.#forget(task);
    task.worker = worker;
    worker.tasks.set(task.id, task);
    const deadlineMs = Math.max(1, Math.round(task.endsAtMs - this.#clock.monotonicMs()));
    worker.link.give({ id: task.id, queue: task.queue, call: { ...task.call, deadlineMs } });
  }
}

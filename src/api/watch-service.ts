/**
 * WatchService: the history of events as a stream.
 *
 * W1  `revision` of a message: everything up to it that passes the filter has been sent, in it or before.
 * W2  A message holds whole revisions, so a client that resumes from revision + 1 loses nothing and gets nothing twice.
 * W3  Nothing is read from the feed while the client's window is full: the feed's own bound cuts a slow reader off.
 */
import type { ServerWritableStream } from '@grpc/grpc-js';
import { type Event, WatchResponseSchema, WatchService } from '../gen/quorate/v1/watch_pb.ts';
import type { MachineEvent } from '../machine/types.ts';
import type { WatchFeed } from '../node/types.ts';
import { encodeMessage } from '../rpc/service.ts';
import type { StatusError } from '../rpc/status.ts';
import { unreachable } from '../types/assert.ts';
import { DATA_STREAM, type Revision, revision } from '../types/ids.ts';
import { WATCH_MESSAGE_BYTES_MAX } from '../types/limits.ts';
import { err, ok, type Result } from '../types/result.ts';
import { Check } from './check.ts';
import type { ApiContext } from './context.ts';
import { eventBytes, eventMessage } from './convert.ts';
import { failure, memberRemoved } from './errors.ts';
import { checkMetadata, decodeRequest } from './unary.ts';

type Call = ServerWritableStream<Buffer, Buffer>;

export interface WatchHandlers {
  readonly watch: (call: Call) => void;
}

export function watchHandlers(context: ApiContext): WatchHandlers {
  return {
    watch: (call) => {
      const opened = open(context, call);
      if (!opened.ok) {
        // How grpc-js ends a server stream with a status.
        call.emit('error', opened.error);
        return;
      }
      const stream = new WatchStream(context, call, opened.value);
      stream.run().catch((error: unknown) => {
        context.logger.error({ err: error, method: 'Watch' }, 'a handler failed: this is a bug');
        stream.end(failure('INTERNAL', `an internal error; the log of member ${context.memberId} has it`));
      });
    },
  };
}

interface OpenWatch {
  readonly feed: WatchFeed;
  /** '' for all. */
  readonly loop: string;
  /** Everything up to here counts as delivered from the start. */
  readonly delivered: Revision;
}

function open({ member, memberId }: ApiContext, call: Call): Result<OpenWatch, StatusError> {
  const tooLarge = checkMetadata(call.metadata);
  if (tooLarge !== null) return err(tooLarge);
  const request = decodeRequest(WatchService.method.watch, call.request);
  if (!request.ok) return request;
  const check = new Check();
  const from = check.number<'Revision'>('from_revision', request.value.fromRevision, 0);
  const loop = check.nameOrEmpty('loop', request.value.loop);
  const invalid = check.failure();
  if (invalid !== null) return err(invalid);
  // Before the feed is opened: an event in between would come twice rather than be lost, and is left out below.
  const applied = member.local(DATA_STREAM).appliedIndex;
  const feed = member.watch(DATA_STREAM, from);
  if (feed === null) {
    return err(failure('OVERLOADED', `member ${memberId} has too many watches; use another member, or try later`));
  }
  return ok({ feed, loop, delivered: revision(from === 0 ? applied : from - 1) });
}

class WatchStream {
  readonly #context: ApiContext;
  readonly #call: Call;
  readonly #feed: WatchFeed;
  readonly #loop: string;
  readonly #progressTimer: NodeJS.Timeout;
  /** W1: the revision of the last message, or of events after it that the filter left out. */
  #delivered: Revision;
  /** No message since the progress timer went off last. */
  #silent = false;
  #over = false;
  /** Wakes `#drained` when the client can take more, or has gone. */
  #wake: (() => void) | null = null;

  constructor(context: ApiContext, call: Call, { feed, loop, delivered }: OpenWatch) {
    this.#context = context;
    this.#call = call;
    this.#feed = feed;
    this.#loop = loop;
    this.#delivered = delivered;
    this.#progressTimer = setInterval(() => this.#onProgressTimer(), context.watchProgressMs / 2);
    call.on('cancelled', () => this.#finish());
    call.on('drain', () => this.#wake?.());
  }

  /** Resolves when the watch is over. */
  async run(): Promise<void> {
    this.#write([], this.#delivered);
    while (!this.#over) {
      const batch = await this.#feed.next();
      if (this.#over) return;
      switch (batch.kind) {
        case 'events':
          await this.#send(batch.events);
          break;
        case 'compacted': {
          const first = String(batch.firstRevision);
          const message = `the history before revision ${first} is gone; read the state and watch from ${first} on`;
          this.end(failure('COMPACTED', message, { metadata: { first_revision: first } }));
          return;
        }
        case 'overflow': {
          const next = String(this.#delivered + 1);
          const message = `the watch was read too slowly; resume it from revision ${next}`;
          this.end(failure('WATCH_TOO_SLOW', message, { metadata: { resume_revision: next } }));
          return;
        }
        case 'closed':
          this.end(failure('SHUTTING_DOWN', 'the member is stopping; resume the watch on another one'));
          return;
        default:
          unreachable(batch, 'watch batch');
      }
    }
  }

  end(error: StatusError): void {
    if (this.#finish()) this.#call.emit('error', error);
  }

  /** False when it was over before. */
  #finish(): boolean {
    if (this.#over) return false;
    this.#over = true;
    clearInterval(this.#progressTimer);
    this.#feed.close();
    this.#wake?.();
    return true;
  }

  /** A batch as one or more messages, cut between revisions only (W2). */
  async #send(events: readonly MachineEvent[]): Promise<void> {
    let pending: Event[] = [];
    let bytes = 0;
    let last = this.#delivered;
    for (const event of events) {
      if (event.revision > last) {
        if (bytes > WATCH_MESSAGE_BYTES_MAX) {
          if (!this.#write(pending, last)) await this.#drained();
          if (this.#over) return;
          pending = [];
          bytes = 0;
        }
        last = event.revision;
      } else if (event.revision <= this.#delivered) {
        continue;
      }
      if (this.#loop !== '' && event.loop !== this.#loop) continue;
      const message = eventMessage(event);
      bytes += eventBytes(message);
      pending.push(message);
    }
    if (pending.length > 0) {
      if (!this.#write(pending, last)) await this.#drained();
    }
    // What the filter left out counts as delivered too; a progress notice says so.
    this.#delivered = last;
  }

  /** False: the client's window is full. */
  #write(events: Event[], upTo: Revision): boolean {
    this.#delivered = upTo;
    this.#silent = false;
    const message = { $typeName: 'quorate.v1.WatchResponse', events, revision: BigInt(upTo) } as const;
    return this.#call.write(encodeMessage(WatchResponseSchema, message));
  }

  #drained(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = () => {
        this.#wake = null;
        resolve();
      };
    });
  }

  /** Goes off twice in the longest silence. A client that does not even take what it was sent gets no notice on top. */
  #onProgressTimer(): void {
    const { member, memberId } = this.#context;
    if (member.status(DATA_STREAM).removed) {
      // No event will ever come here: the client goes on at another member, from where it is.
      this.end(memberRemoved(memberId));
      return;
    }
    if (this.#silent && !this.#call.writableNeedDrain) this.#write([], this.#delivered);
    this.#silent = true;
  }
}

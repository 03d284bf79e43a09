/**
 * The stream that this member opens to one peer: connect, say hello, send; on any trouble start again.
 *
 * Envelopes are only taken while the stream is up. What waits when it breaks is gone, and the owner is told:
 * raft repeats what matters, and a stale message is worth less than none.
 */
import { Client, type ClientDuplexStream, credentials, type StatusObject } from '@grpc/grpc-js';
import { toPeerEnvelope } from '../codec/envelope.ts';
import { envelopeLevel } from '../codec/envelope-level.ts';
import { PeerFrameSchema, PeerService } from '../gen/quorate/internal/v1/peer_pb.ts';
import type { Envelope } from '../node/types.ts';
import { decodeMessage, encodeMessage, rawDefinition } from '../rpc/service.ts';
import { parseStatus } from '../rpc/status.ts';
import type { MemberId } from '../types/ids.ts';
import { err, type Result } from '../types/result.ts';
import { admitPeer, type Greeting, type HelloReader, helloFrame, readHello } from './hello.ts';
import { peerChannelOptions, type TransportLimits } from './options.ts';
import { SendQueue } from './send-queue.ts';

const { exchange } = rawDefinition(PeerService);

type Call = ClientDuplexStream<Buffer, Buffer>;

export interface PeerLinkEvents {
  /** The stream is up: `featureLevel` is the peer's. */
  up(featureLevel: number): void;
  /** The stream broke after it was up, or envelopes were dropped because the queue is full. */
  lost(why: string): void;
  /** An attempt to connect failed, or the peer refused the hello; it will be tried again. */
  failed(why: string): void;
  /** The peer says that this member was removed from the cluster. `failed` follows. */
  removed(why: string): void;
}

export interface PeerLinkOptions extends HelloReader {
  readonly peer: MemberId;
  /** host:port */
  readonly address: string;
  readonly limits: TransportLimits;
  readonly events: PeerLinkEvents;
}

export interface PeerLinkStatus {
  readonly peer: MemberId;
  readonly connected: boolean;
  readonly featureLevel: number;
  readonly queuedMessages: number;
  readonly queuedBytes: number;
  readonly droppedMessages: number;
  readonly sentFrames: number;
  readonly sentMessages: number;
}

interface Attempt {
  readonly client: Client;
  readonly call: Call;
  readonly helloTimer: NodeJS.Timeout;
  /** The peer has sent its hello. */
  answered: boolean;
  /** When the hello was answered and the peer admitted, by the monotonic clock; null before. */
  upSinceMs: number | null;
}

export class PeerLink {
  readonly #options: PeerLinkOptions;
  readonly #queue: SendQueue;
  #started = false;
  #attempt: Attempt | null = null;
  #reconnectTimer: NodeJS.Timeout | null = null;
  #backoffMs: number;
  #flushScheduled = false;
  #framesInWrite = 0;
  #overflowing = false;
  #featureLevel = 0;
  #dropped = 0;
  #sentFrames = 0;
  #sentMessages = 0;

  constructor(options: PeerLinkOptions) {
    this.#options = options;
    this.#queue = new SendQueue(options.limits.queueBytesMax, options.limits.queueMessagesMax);
    this.#backoffMs = options.limits.reconnectMinMs;
  }

  start(): void {
    if (this.#started) return;
    this.#started = true;
    this.#connect();
  }

  get address(): string {
    return this.#options.address;
  }

  /**
   * The peer was heard of: if this link waits before it tries again, it tries now. A failover must not wait for the end of
   * a pause that began when the peer was really away (A4).
   */
  wake(): void {
    if (this.#reconnectTimer === null) return;
    clearTimeout(this.#reconnectTimer);
    this.#reconnectTimer = null;
    this.#connect();
  }

  stop(): void {
    this.#started = false;
    if (this.#reconnectTimer !== null) clearTimeout(this.#reconnectTimer);
    this.#reconnectTimer = null;
    const attempt = this.#attempt;
    if (attempt !== null) this.#discard(attempt);
  }

  /** Takes the envelope (true), or drops it: see the top of the file. So is what a peer of an older version cannot read. */
  send(envelope: Envelope): boolean {
    if (!this.#isUp() || envelopeLevel(envelope) > this.#featureLevel) {
      this.#dropped += 1;
      return false;
    }
    if (!this.#queue.push(envelope)) {
      this.#dropped += 1;
      // Whoever forwards is told by the answer; for everything else the loss is news.
      if (envelope.kind !== 'forwardRequest') this.#overflow();
      return false;
    }
    this.#scheduleFlush();
    return true;
  }

  status(): PeerLinkStatus {
    return {
      peer: this.#options.peer,
      connected: this.#isUp(),
      featureLevel: this.#featureLevel,
      queuedMessages: this.#queue.length,
      queuedBytes: this.#queue.bytes,
      droppedMessages: this.#dropped,
      sentFrames: this.#sentFrames,
      sentMessages: this.#sentMessages,
    };
  }

  #isUp(): boolean {
    return this.#attempt !== null && this.#attempt.upSinceMs !== null;
  }

  // -------------------------------------------------------------------------------------------- connection

  #connect(): void {
    const { address, limits, clusterId, memberId, peer, identity } = this.#options;
    const client = new Client(address, credentials.createInsecure(), peerChannelOptions(limits));
    const call: Call = client.makeBidiStreamRequest(
      exchange.path,
      exchange.requestSerialize,
      exchange.responseDeserialize,
    );
    const helloTimer = setTimeout(() => {
      this.#end(attempt, `no answer from ${address} within ${limits.helloTimeoutMs} ms`);
    }, limits.helloTimeoutMs);
    const attempt: Attempt = { client, call, helloTimer, answered: false, upSinceMs: null };
    this.#attempt = attempt;
    call.on('data', (bytes: Buffer) => this.#onFrame(attempt, bytes));
    call.on('status', (status: StatusObject) => this.#onStatus(attempt, status));
    // Everything that an 'error' says is in the 'status' as well; without a listener it would be thrown.
    call.on('error', () => {});
    call.write(helloFrame({ clusterId, from: memberId, to: peer, identity }));
  }

  /** The peer sends one frame, its hello; anything more is a fault of its own. */
  #onFrame(attempt: Attempt, bytes: Buffer): void {
    if (this.#attempt !== attempt) return;
    if (attempt.answered) {
      this.#end(attempt, 'the peer sent a frame after its hello');
      return;
    }
    attempt.answered = true;
    void this.#admit(attempt, readAnswer(bytes, this.#options, this.#options.peer));
  }

  /** Nothing is sent before the peer's data folder is known to be the one that it always had. */
  async #admit(attempt: Attempt, hello: Result<Greeting, string>): Promise<void> {
    const admitted = hello.ok ? await admitAnswer(this.#options, hello.value) : hello;
    if (this.#attempt !== attempt) return;
    if (!admitted.ok) {
      this.#backoffMs = this.#options.limits.reconnectMaxMs;
      this.#end(attempt, admitted.error);
      return;
    }
    clearTimeout(attempt.helloTimer);
    attempt.upSinceMs = performance.now();
    this.#featureLevel = admitted.value.featureLevel;
    this.#options.events.up(admitted.value.featureLevel);
  }

  #onStatus(attempt: Attempt, status: StatusObject): void {
    const { reason, message } = parseStatus(status);
    // The peer understood the hello and does not want it: that seldom changes within milliseconds.
    if (reason !== '') this.#backoffMs = this.#options.limits.reconnectMaxMs;
    if (reason === 'REMOVED' && this.#attempt === attempt) this.#options.events.removed(message);
    this.#end(attempt, message);
  }

  #end(attempt: Attempt, why: string): void {
    if (this.#attempt !== attempt) return;
    const { limits, events } = this.#options;
    this.#discard(attempt);
    const wasUp = attempt.upSinceMs !== null;
    // A stream that breaks at once must not bring the short wait back: two processes of one name would chase each other.
    if (wasUp && performance.now() - (attempt.upSinceMs ?? 0) >= limits.reconnectMaxMs) {
      this.#backoffMs = limits.reconnectMinMs;
    }
    if (this.#started) this.#reconnectLater();
    if (wasUp) events.lost(why);
    else events.failed(why);
  }

  #discard(attempt: Attempt): void {
    this.#attempt = null;
    clearTimeout(attempt.helloTimer);
    attempt.call.cancel();
    attempt.client.close();
    this.#dropped += this.#queue.length;
    this.#queue.clear();
    this.#framesInWrite = 0;
    this.#overflowing = false;
  }

  #reconnectLater(): void {
    const { reconnectMaxMs } = this.#options.limits;
    // Between half of the wait and all of it, so that members that lost one another do not come back in step.
    const delayMs = this.#backoffMs * (0.5 + Math.random() / 2);
    this.#backoffMs = Math.min(this.#backoffMs * 2, reconnectMaxMs);
    this.#reconnectTimer = setTimeout(() => {
      this.#reconnectTimer = null;
      this.#connect();
    }, delayMs);
  }

  // -------------------------------------------------------------------------------------------- sending

  /** Told once until there is room again, and never from within `send`: the owner is in the middle of its own step. */
  #overflow(): void {
    if (this.#overflowing) return;
    this.#overflowing = true;
    setImmediate(() => {
      if (this.#started) this.#options.events.lost('the send queue is full');
    });
  }

  /** At the end of the turn, so that everything that this turn sends shares a frame. */
  #scheduleFlush(): void {
    if (this.#flushScheduled) return;
    this.#flushScheduled = true;
    setImmediate(() => {
      this.#flushScheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    const attempt = this.#attempt;
    if (attempt === null) return;
    const { frameBytesMax, framesInWriteMax } = this.#options.limits;
    while (this.#queue.length > 0 && this.#framesInWrite < framesInWriteMax) {
      this.#write(attempt, this.#queue.take(frameBytesMax));
      if (this.#attempt !== attempt) return;
    }
    if (this.#queue.length === 0) this.#overflowing = false;
  }

  #write(attempt: Attempt, envelopes: readonly Envelope[]): void {
    const frame = encodeMessage(PeerFrameSchema, {
      $typeName: 'quorate.internal.v1.PeerFrame',
      envelopes: envelopes.map(toPeerEnvelope),
    });
    if (frame.length > this.#options.limits.messageBytesMax) {
      this.#dropped += envelopes.length;
      this.#options.events.lost(`a frame of ${frame.length} bytes is larger than a peer accepts`);
      return;
    }
    this.#framesInWrite += 1;
    this.#sentFrames += 1;
    this.#sentMessages += envelopes.length;
    // Called when the socket has taken the frame: that is the back-pressure.
    attempt.call.write(frame, () => {
      if (this.#attempt !== attempt) return;
      this.#framesInWrite -= 1;
      if (this.#queue.length > 0) this.#scheduleFlush();
    });
  }
}

/** The peer's greeting, or what is wrong with it. */
function readAnswer(bytes: Buffer, self: HelloReader, peer: MemberId): Result<Greeting, string> {
  try {
    const hello = readHello(decodeMessage(PeerFrameSchema, bytes), self);
    if (!hello.ok) return err(hello.error.details);
    const { from } = hello.value;
    return from === peer ? hello : err(`the answer is that of ${from}, not of ${peer}: check the peer addresses`);
  } catch {
    return err('the answer is no peer frame: is this the address of a peer port?');
  }
}

async function admitAnswer(self: HelloReader, greeting: Greeting): Promise<Result<Greeting, string>> {
  const admitted = await admitPeer(self, greeting);
  return admitted.ok ? admitted : err(admitted.error.details);
}

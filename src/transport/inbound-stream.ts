/** One stream that a peer opened to this member: hello first, then envelopes; anything else ends it. */
import { status as Code, type ServerDuplexStream } from '@grpc/grpc-js';
import { fromPeerEnvelope } from '../codec/envelope.ts';
import { type PeerEnvelope, type PeerFrame, PeerFrameSchema } from '../gen/quorate/internal/v1/peer_pb.ts';
import type { Envelope } from '../node/types.ts';
import { decodeMessage } from '../rpc/service.ts';
import { type StatusError, statusError } from '../rpc/status.ts';
import type { MemberId } from '../types/ids.ts';
import { err, ok, type Result } from '../types/result.ts';
import { admitPeer, type Greeting, type HelloReader, helloFrame, readHello } from './hello.ts';

export interface InboundEvents {
  /** The hello was accepted. Called before the first `received`. */
  accepted(stream: InboundStream, greeting: Greeting): void;
  received(from: MemberId, envelope: Envelope): void;
  /** This member ended the stream because of what came in. */
  refused(peerAddress: string, from: MemberId | null, why: string): void;
  /** The stream is over, for whatever reason. Called once. `byPeer`: it broke, or the peer ended it. */
  closed(stream: InboundStream, from: MemberId | null, byPeer: boolean): void;
}

export interface InboundOptions extends HelloReader {
  readonly helloTimeoutMs: number;
  readonly events: InboundEvents;
}

export class InboundStream {
  readonly #call: ServerDuplexStream<Buffer, Buffer>;
  readonly #options: InboundOptions;
  readonly #helloTimer: NodeJS.Timeout;
  #from: MemberId | null = null;
  #closed = false;

  constructor(call: ServerDuplexStream<Buffer, Buffer>, options: InboundOptions) {
    this.#call = call;
    this.#options = options;
    this.#helloTimer = setTimeout(() => {
      this.#refuse(
        statusError({
          code: Code.DEADLINE_EXCEEDED,
          reason: 'HELLO_EXPECTED',
          message: `no complete hello within ${options.helloTimeoutMs} ms`,
        }),
      );
    }, options.helloTimeoutMs);
    call.on('data', (bytes: Buffer) => this.#onData(bytes));
    call.on('end', () => this.#finish());
    call.on('cancelled', () => this.#finish());
  }

  /** Ends the stream from this side. */
  close(error: StatusError): void {
    if (!this.#over(false)) return;
    // How grpc-js ends a server stream with a status; the stream has a listener of its own for it.
    this.#call.emit('error', error);
  }

  /** The peer ended it. */
  #finish(): void {
    if (this.#over(true)) this.#call.end();
  }

  /** False when it was over before. */
  #over(byPeer: boolean): boolean {
    if (this.#closed) return false;
    this.#closed = true;
    clearTimeout(this.#helloTimer);
    this.#options.events.closed(this, this.#from, byPeer);
    return true;
  }

  #refuse(error: StatusError): void {
    if (this.#closed) return;
    this.#options.events.refused(this.#call.getPeer(), this.#from, error.details);
    this.close(error);
  }

  #onData(bytes: Buffer): void {
    if (this.#closed) return;
    let frame: PeerFrame;
    try {
      frame = decodeMessage(PeerFrameSchema, bytes);
    } catch {
      this.#refuse(malformed('not a peer frame'));
      return;
    }
    if (this.#from === null) this.#onHello(frame);
    else this.#onEnvelopes(this.#from, frame);
  }

  #onHello(frame: PeerFrame): void {
    const hello = readHello(frame, this.#options);
    if (!hello.ok) {
      this.#refuse(hello.error);
      return;
    }
    // Nothing is read meanwhile: what follows the hello waits, in order.
    this.#call.pause();
    void this.#admit(hello.value);
  }

  async #admit(greeting: Greeting): Promise<void> {
    const { clusterId, memberId, identity, events } = this.#options;
    const admitted = await admitPeer(this.#options, greeting);
    if (this.#closed) return;
    if (!admitted.ok) {
      this.#refuse(admitted.error);
      return;
    }
    clearTimeout(this.#helloTimer);
    const { from } = greeting;
    this.#from = from;
    events.accepted(this, greeting);
    this.#call.write(helloFrame({ clusterId, from: memberId, to: from, identity }));
    this.#call.resume();
  }

  #onEnvelopes(from: MemberId, frame: PeerFrame): void {
    if (frame.hello !== undefined) {
      this.#refuse(malformed('a second hello on a stream'));
      return;
    }
    for (const message of frame.envelopes) {
      const envelope = this.#check(from, message);
      if (!envelope.ok) {
        this.#refuse(malformed(envelope.error));
        return;
      }
      this.#options.events.received(from, envelope.value);
      // The receiver may have stopped the transport.
      if (this.#closed) return;
    }
  }

  /** A message of the core names its sender and receiver; they must be those of the stream. */
  #check(from: MemberId, message: PeerEnvelope): Result<Envelope, string> {
    const decoded = fromPeerEnvelope(message);
    if (!decoded.ok) return decoded;
    const envelope = decoded.value;
    if (envelope.kind === 'raft') {
      if (envelope.message.from !== from)
        return err(`a message from ${envelope.message.from} on the stream of ${from}`);
      if (envelope.message.to !== this.#options.memberId) return err(`a message for ${envelope.message.to}`);
    }
    return ok(envelope);
  }
}

function malformed(message: string): StatusError {
  return statusError({ code: Code.INVALID_ARGUMENT, reason: 'MALFORMED_FRAME', message });
}

/**
 * Envelopes between members over gRPC: one stream in each direction of each pair (`PeerService.Exchange`).
 *
 * Delivery is at most once and in order within a stream; a broken stream loses what was on its way, and a queue that is
 * full drops what is new. Both are reported by `unreachable`, which raft answers by probing.
 */
import { status as Code, type Server, type ServerDuplexStream, type sendUnaryData } from '@grpc/grpc-js';
import type { Logger } from 'pino';
import { PeerService } from '../gen/quorate/internal/v1/peer_pb.ts';
import type { Envelope } from '../node/types.ts';
import type { Network, NetworkHandler } from '../ports/network.ts';
import { rawDefinition } from '../rpc/service.ts';
import { statusError } from '../rpc/status.ts';
import type { MemberId } from '../types/ids.ts';
import { type Greeting, type HelloReader, unknownMember } from './hello.ts';
import { answerIdentify } from './identify.ts';
import { type InboundEvents, InboundStream } from './inbound-stream.ts';
import { LogThrottle } from './log-throttle.ts';
import { DEFAULT_TRANSPORT_LIMITS, type TransportLimits } from './options.ts';
import { PeerLink, type PeerLinkStatus } from './peer-link.ts';

/** One log line for each subject in this time. */
const LOG_INTERVAL_MS = 30_000;
/** Peers that are reached where their hello says, because nobody else said where. */
const LEARNED_MAX = 32;

export interface PeerTransportOptions extends HelloReader {
  /** As for {@link PeerTransport.setPeers}. */
  readonly peers: ReadonlyMap<MemberId, string>;
  readonly handler: NetworkHandler<Envelope>;
  /**
   * The peer `by` refused this member because it was removed from the cluster. Called at each attempt; the caller judges
   * whether `by` can know.
   */
  readonly onRemoved?: (by: MemberId, why: string) => void;
  readonly logger: Logger;
  readonly limits?: Partial<TransportLimits>;
}

export class PeerTransport implements Network<Envelope> {
  readonly #options: PeerTransportOptions;
  readonly #limits: TransportLimits;
  /** Peers that were set, and where; '' where that is not known. */
  #peers: ReadonlyMap<MemberId, string> = new Map();
  /** Where peers say that they are, for those whose address was not set. */
  readonly #learned = new Map<MemberId, string>();
  readonly #links = new Map<MemberId, PeerLink>();
  readonly #unknown = new Set<InboundStream>();
  readonly #inbound = new Map<MemberId, InboundStream>();
  /** Peers whose loss the handler was told, until they are back. */
  readonly #reportedLost = new Set<MemberId>();
  readonly #throttle = new LogThrottle(LOG_INTERVAL_MS);
  #running = false;

  constructor(options: PeerTransportOptions) {
    this.#options = options;
    this.#limits = { ...DEFAULT_TRANSPORT_LIMITS, ...options.limits };
    this.setPeers(options.peers);
  }

  /** Adds the peer service to the server of the peer port. */
  addTo(server: Server): void {
    server.addService(rawDefinition(PeerService), {
      exchange: (call: ServerDuplexStream<Buffer, Buffer>) => this.#accept(call),
      identify: (_: unknown, answer: sendUnaryData<Buffer>) => answerIdentify(this.#options, answer),
    });
  }

  /** Opens the streams to all peers, and keeps them open. Streams of peers are accepted from now on. */
  start(): void {
    this.#running = true;
    for (const link of this.#links.values()) link.start();
  }

  /** Closes every stream, both ways. Nothing is received any more when it returns. */
  stop(): void {
    this.#running = false;
    for (const link of this.#links.values()) link.stop();
    const stopping = statusError({
      code: Code.UNAVAILABLE,
      reason: 'SHUTTING_DOWN',
      message: `member ${this.#options.memberId} is stopping`,
    });
    for (const stream of [...this.#unknown, ...this.#inbound.values()]) stream.close(stopping);
  }

  /**
   * These are the peers from now on, and the host:port of each one's peer port; the member itself may be among them. An empty
   * address stands for one that is not known: the peer is reached where its own hello says. Links to others end, links to
   * a new address start anew, all the rest stay as they are.
   */
  setPeers(peers: ReadonlyMap<MemberId, string>): void {
    const before = this.#peers;
    this.#peers = new Map([...peers].filter(([peer]) => peer !== this.#options.memberId));
    for (const peer of before.keys()) if (!this.#peers.has(peer)) this.#forget(peer);
    for (const peer of [...this.#peers.keys()].sort()) this.#connect(peer);
  }

  /** Ends the stream of the peer: it has to say hello again, and is judged by what is known now. */
  drop(peer: MemberId): void {
    const message = `${this.#options.memberId} knows more of ${peer} by now: say hello again`;
    this.#inbound.get(peer)?.close(statusError({ code: Code.ABORTED, reason: 'SUPERSEDED', message }));
  }

  send(to: MemberId, envelope: Envelope): boolean {
    return this.#links.get(to)?.send(envelope) ?? false;
  }

  /** Highest feature level that each peer supports; of the peers that this member is connected to now (R9). */
  featureLevels(): ReadonlyMap<MemberId, number> {
    const connected = this.status().filter((link) => link.connected);
    return new Map(connected.map(({ peer, featureLevel }) => [peer, featureLevel]));
  }

  /** One for each peer, sorted by id. */
  status(): readonly PeerLinkStatus[] {
    return [...this.#links.values()].map((link) => link.status()).sort((a, b) => (a.peer < b.peer ? -1 : 1));
  }

  // -------------------------------------------------------------------------------------------- links

  /** Makes the link to the peer what it should be, if an address is known. */
  #connect(peer: MemberId): void {
    const set = this.#peers.get(peer) ?? '';
    const address = set === '' ? (this.#learned.get(peer) ?? '') : set;
    const old = this.#links.get(peer);
    if (address === '' || old?.address === address) return;
    const wasConnected = old?.status().connected ?? false;
    old?.stop();
    const link = this.#link(peer, address);
    this.#links.set(peer, link);
    if (this.#running) link.start();
    if (wasConnected) this.#options.handler.unreachable(peer);
  }

  #forget(peer: MemberId): void {
    this.#links.get(peer)?.stop();
    this.#links.delete(peer);
    this.#learned.delete(peer);
    this.#reportedLost.delete(peer);
    // If it comes again, it is told why it must not.
    this.#inbound.get(peer)?.close(
      statusError({
        code: Code.PERMISSION_DENIED,
        reason: 'UNKNOWN_MEMBER',
        message: unknownMember(peer, this.#options),
      }),
    );
  }

  #link(peer: MemberId, address: string): PeerLink {
    const { clusterId, memberId, identity, logger, onRemoved } = this.#options;
    return new PeerLink({
      clusterId,
      memberId,
      identity,
      peer,
      address,
      limits: this.#limits,
      events: {
        up: (featureLevel) => {
          this.#reportedLost.delete(peer);
          logger.info({ peer, address, featureLevel }, 'connected to peer');
        },
        lost: (why) => {
          this.#log(`lost ${peer} ${why}`, { peer, address, why }, 'messages to the peer may be lost');
          this.#reportLost(peer);
        },
        failed: (why) => this.#log(`failed ${peer} ${why}`, { peer, address, why }, 'cannot reach peer'),
        removed: (why) => onRemoved?.(peer, why),
      },
    });
  }

  #reportLost(peer: MemberId): void {
    this.#reportedLost.add(peer);
    this.#options.handler.unreachable(peer);
  }

  // -------------------------------------------------------------------------------------------- inbound

  #accept(call: ServerDuplexStream<Buffer, Buffer>): void {
    const { clusterId, memberId, identity } = this.#options;
    const { unknownStreamsMax, helloTimeoutMs } = this.#limits;
    if (!this.#running || this.#unknown.size >= unknownStreamsMax) {
      const message = this.#running ? 'too many streams without a hello' : `member ${memberId} is not running`;
      call.emit('error', statusError({ code: Code.UNAVAILABLE, reason: 'OVERLOADED', message, retryAfterMs: 1000 }));
      return;
    }
    const events = this.#inboundEvents();
    const options = { clusterId, memberId, identity, helloTimeoutMs, events };
    this.#unknown.add(new InboundStream(call, options));
  }

  #inboundEvents(): InboundEvents {
    const { handler, memberId } = this.#options;
    return {
      accepted: (stream, greeting) => {
        const { from } = greeting;
        this.#unknown.delete(stream);
        const older = this.#inbound.get(from);
        this.#inbound.set(from, stream);
        older?.close(
          statusError({
            code: Code.ABORTED,
            reason: 'SUPERSEDED',
            message: `${from} opened a newer stream to ${memberId}`,
          }),
        );
        this.#heardOf(greeting);
      },
      received: (from, envelope) => handler.receive(from, envelope),
      refused: (peerAddress, from, why) => {
        // Without the port: a stranger that tries again comes from another one each time.
        const host = peerAddress.replace(/:\d+$/, '');
        this.#log(`refused ${host} ${why}`, { peerAddress, from, why }, 'refused a stream on the peer port');
      },
      closed: (stream, from, byPeer) => {
        this.#unknown.delete(stream);
        if (from === null || this.#inbound.get(from) !== stream) return;
        this.#inbound.delete(from);
        if (byPeer && this.#running) this.#streamBroke(from);
      },
    };
  }

  /** A peer said hello: it is there, and says where. */
  #heardOf({ from, peerAddress }: Greeting): void {
    this.#reportedLost.delete(from);
    const known = this.#learned.has(from) || this.#learned.size < LEARNED_MAX;
    if (peerAddress !== '' && known) this.#learned.set(from, peerAddress);
    this.#connect(from);
    this.#links.get(from)?.wake();
  }

  /** The peer's own stream is gone. Where this member has none to it, nothing else tells that the peer may be (A4). */
  #streamBroke(peer: MemberId): void {
    const connected = this.#links.get(peer)?.status().connected ?? false;
    if (!connected && !this.#reportedLost.has(peer)) this.#reportLost(peer);
    // It was reached because it came; when it comes again, it says where it is then.
    if (!this.#peers.has(peer)) this.#forget(peer);
  }

  #log(subject: string, fields: object, message: string): void {
    const suppressed = this.#throttle.due(subject, performance.now());
    if (suppressed !== null) this.#options.logger.warn({ ...fields, suppressed }, message);
  }
}

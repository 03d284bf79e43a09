/**
 * Envelopes between members over gRPC: one stream in each direction of each pair (`PeerService.Exchange`).
 *
 * Delivery is at most once and in order within a stream; a broken stream loses what was on its way, and a queue that is
 * full drops what is new. Both are reported by `unreachable`, which raft answers by probing.
 */
import { status as Code, type Server, type ServerDuplexStream } from '@grpc/grpc-js';
import type { Logger } from 'pino';
import { PeerService } from '../gen/quorate/internal/v1/peer_pb.ts';
import type { Envelope } from '../node/types.ts';
import type { Network, NetworkHandler } from '../ports/network.ts';
import { rawDefinition } from '../rpc/service.ts';
import { statusError } from '../rpc/status.ts';
import type { MemberId } from '../types/ids.ts';
import type { HelloReader } from './hello.ts';
import { type InboundEvents, InboundStream } from './inbound-stream.ts';
import { LogThrottle } from './log-throttle.ts';
import { DEFAULT_TRANSPORT_LIMITS, type TransportLimits } from './options.ts';
import { PeerLink, type PeerLinkStatus } from './peer-link.ts';

/** One log line for each subject in this time. */
const LOG_INTERVAL_MS = 30_000;

export interface PeerTransportOptions extends HelloReader {
  /** host:port of the peer port of every member; the member itself may be among them. */
  readonly peers: ReadonlyMap<MemberId, string>;
  readonly handler: NetworkHandler<Envelope>;
  readonly logger: Logger;
  readonly limits?: Partial<TransportLimits>;
}

export class PeerTransport implements Network<Envelope> {
  readonly #options: PeerTransportOptions;
  readonly #limits: TransportLimits;
  readonly #links = new Map<MemberId, PeerLink>();
  readonly #unknown = new Set<InboundStream>();
  readonly #inbound = new Map<MemberId, InboundStream>();
  readonly #throttle = new LogThrottle(LOG_INTERVAL_MS);
  #running = false;

  constructor(options: PeerTransportOptions) {
    this.#options = options;
    this.#limits = { ...DEFAULT_TRANSPORT_LIMITS, ...options.limits };
    const peers = [...options.peers].filter(([peer]) => peer !== options.memberId);
    for (const [peer, address] of peers.sort(([a], [b]) => (a < b ? -1 : 1))) {
      this.#links.set(peer, this.#link(peer, address));
    }
  }

  /** Adds the peer service to the server of the peer port. */
  addTo(server: Server): void {
    server.addService(rawDefinition(PeerService), {
      exchange: (call: ServerDuplexStream<Buffer, Buffer>) => this.#accept(call),
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

  send(to: MemberId, envelope: Envelope): boolean {
    return this.#links.get(to)?.send(envelope) ?? false;
  }

  /** One for each peer, sorted by id. */
  status(): readonly PeerLinkStatus[] {
    return [...this.#links.values()].map((link) => link.status());
  }

  #link(peer: MemberId, address: string): PeerLink {
    const { clusterId, memberId, identity, handler, logger } = this.#options;
    return new PeerLink({
      clusterId,
      memberId,
      identity,
      peer,
      address,
      limits: this.#limits,
      events: {
        up: (featureLevel) => logger.info({ peer, address, featureLevel }, 'connected to peer'),
        lost: (why) => {
          this.#log(`lost ${peer} ${why}`, { peer, address, why }, 'messages to the peer may be lost');
          handler.unreachable(peer);
        },
        failed: (why) => this.#log(`failed ${peer} ${why}`, { peer, address, why }, 'cannot reach peer'),
      },
    });
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
    const options = { clusterId, memberId, identity, peers: this.#links, helloTimeoutMs, events };
    this.#unknown.add(new InboundStream(call, options));
  }

  #inboundEvents(): InboundEvents {
    const { handler, memberId } = this.#options;
    return {
      accepted: (stream, from) => {
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
      },
      received: (from, envelope) => handler.receive(from, envelope),
      refused: (peerAddress, from, why) => {
        // Without the port: a stranger that tries again comes from another one each time.
        const host = peerAddress.replace(/:\d+$/, '');
        this.#log(`refused ${host} ${why}`, { peerAddress, from, why }, 'refused a stream on the peer port');
      },
      closed: (stream, from) => {
        this.#unknown.delete(stream);
        if (from !== null && this.#inbound.get(from) === stream) this.#inbound.delete(from);
      },
    };
  }

  #log(subject: string, fields: object, message: string): void {
    const suppressed = this.#throttle.due(subject, performance.now());
    if (suppressed !== null) this.#options.logger.warn({ ...fields, suppressed }, message);
  }
}

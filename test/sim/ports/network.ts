/**
 * The wires between the members: envelopes are lost, delayed, duplicated and reordered; links are cut in one
 * direction or both. Every envelope is copied, so that members share no memory.
 */
import type { Envelope } from '../../../src/node/types.ts';
import type { MemberId } from '../../../src/types/ids.ts';
import type { Prng } from '../kernel/prng.ts';
import type { Owner } from '../kernel/queue.ts';
import type { World } from '../kernel/world.ts';
import type { SimOptions } from '../options.ts';
import { copyEnvelope, reencodeEnvelope } from './envelopes.ts';

/** Where envelopes go: the running process of a member, if there is one. */
export interface NetworkNode {
  readonly id: MemberId;
  readonly owner: Owner | null;
  receive(from: MemberId, envelope: Envelope): void;
  unreachable(peer: MemberId): void;
}

export interface NetworkFaults {
  lost: number;
  duplicated: number;
  straggled: number;
  cut: number;
}

export class SimNetwork {
  readonly faults: NetworkFaults = { lost: 0, duplicated: 0, straggled: 0, cut: 0 };
  /** Sees every envelope as it leaves, before anything can happen to it. */
  onSend: (from: MemberId, to: MemberId, envelope: Envelope) => void = () => undefined;
  readonly #world: World;
  readonly #prng: Prng;
  readonly #options: SimOptions['network'];
  readonly #nodes = new Map<MemberId, NetworkNode>();
  readonly #cut = new Set<string>();
  readonly #muted = new Set<MemberId>();
  /** Cut off for good. */
  readonly #severed = new Set<MemberId>();
  /** Extra loss on a link, per 1000. */
  readonly #lossy = new Map<string, number>();
  readonly #lastArrivalUs = new Map<string, number>();
  #healthy = false;
  #healthyMaxUs = 0;

  constructor(world: World, prng: Prng, options: SimOptions['network']) {
    this.#world = world;
    this.#prng = prng;
    this.#options = options;
  }

  attach(node: NetworkNode): void {
    this.#nodes.set(node.id, node);
  }

  /** Nothing reaches it or leaves it from here on, whatever is healed. */
  sever(member: MemberId): void {
    this.#severed.add(member);
  }

  cut(from: MemberId, to: MemberId): void {
    this.#cut.add(`${from}>${to}`);
  }

  uncut(from: MemberId, to: MemberId): void {
    this.#cut.delete(`${from}>${to}`);
  }

  /** Nothing that `from` sends from now on leaves it; what is on its way arrives. */
  mute(from: MemberId): void {
    this.#muted.add(from);
  }

  setLoss(from: MemberId, to: MemberId, permille: number): void {
    this.#lossy.set(`${from}>${to}`, permille);
  }

  /** Partitions end, single faults go on. */
  healLinks(): void {
    this.#cut.clear();
    this.#muted.clear();
    this.#lossy.clear();
  }

  /** Ends all trouble for good; from now on envelopes take `maxUs` at most. */
  heal(maxUs: number): void {
    this.healLinks();
    this.#healthy = true;
    this.#healthyMaxUs = maxUs;
  }

  send(from: MemberId, to: MemberId, envelope: Envelope): void {
    this.onSend(from, to, envelope);
    const link = `${from}>${to}`;
    const prng = this.#prng;
    const options = this.#options;
    if (this.#muted.has(from) || this.#isCut(from, to)) {
      this.faults.cut += 1;
      this.#notice(from, to);
      return;
    }
    if (!this.#healthy && (prng.chance(options.lostPermille) || prng.chance(this.#lossy.get(link) ?? 0))) {
      this.faults.lost += 1;
      this.#notice(from, to);
      return;
    }
    this.#deliver(from, to, envelope, link);
    // Raft bears copies; for a forwarded mutation the port promises delivery at most once.
    if (!this.#healthy && envelope.kind === 'raft' && prng.chance(options.duplicatedPermille)) {
      this.faults.duplicated += 1;
      this.#deliver(from, to, envelope, link);
    }
  }

  #deliver(from: MemberId, to: MemberId, envelope: Envelope, link: string): void {
    const prng = this.#prng;
    const options = this.#options;
    const maxUs = this.#healthy ? Math.min(options.delayMaxUs, this.#healthyMaxUs) : options.delayMaxUs;
    let delayUs = prng.between(Math.min(options.delayMinUs, maxUs), maxUs);
    // Images are read as a stream; pieces that change places would only be asked for again.
    const isImage = envelope.kind === 'snapshotChunk' || envelope.kind === 'snapshotAck';
    let ordered = options.inOrder || isImage;
    if (!this.#healthy && prng.chance(options.stragglerPermille)) {
      this.faults.straggled += 1;
      delayUs += prng.below(options.stragglerMaxUs);
      // Left over in an old connection: it does not hold up what comes after it.
      ordered = false;
    }
    let arrivalUs = this.#world.nowUs + delayUs;
    if (ordered) {
      const lane = isImage && !options.inOrder ? `${link} image` : link;
      arrivalUs = Math.max(arrivalUs, this.#lastArrivalUs.get(lane) ?? 0);
      this.#lastArrivalUs.set(lane, arrivalUs);
    }
    const copy = prng.chance(options.encodedPermille) ? reencodeEnvelope(envelope) : copyEnvelope(envelope);
    this.#world.at(arrivalUs, null, () => this.#arrive(from, to, copy));
  }

  #arrive(from: MemberId, to: MemberId, envelope: Envelope): void {
    const node = this.#nodes.get(to);
    const owner = node?.owner ?? null;
    if (node === undefined || owner === null || !owner.alive || this.#isCut(from, to)) {
      this.#notice(from, to);
    } else if (owner.pausedUntilUs > this.#world.nowUs) {
      // Waits in the socket of a process that does not run.
      this.#world.at(owner.pausedUntilUs, null, () => this.#arrive(from, to, envelope));
    } else {
      node.receive(from, envelope);
    }
  }

  #isCut(from: MemberId, to: MemberId): boolean {
    return this.#cut.has(`${from}>${to}`) || this.#severed.has(from) || this.#severed.has(to);
  }

  #notice(from: MemberId, to: MemberId): void {
    if (!this.#prng.chance(this.#options.noticedPermille)) return;
    const node = this.#nodes.get(from);
    if (node?.owner?.alive !== true) return;
    this.#world.after(this.#prng.between(0, this.#options.delayMaxUs), node.owner, () => node.unreachable(to));
  }
}

/** What all pipelines of a member share: places, and bytes, by connection (PL3 in pipeline-service.ts). */
import { PIPELINE_IDLE_MS, PIPELINES_BYTES_MAX, PIPELINES_MAX, PIPELINES_PER_CONNECTION_MAX } from '../types/limits.ts';

const SWEEP_MS = 1_000;
/** While the member stops: a client that goes on is to be told before it is cut off. */
const RETIRING_SWEEP_MS = 100;

/** A pipeline, as the room sees it. */
export interface Guest {
  /** The other end of its connection. */
  readonly peer: string;
  /** What it holds, in bytes. */
  readonly heldBytes: number;
  /** Nothing is done for it any more; what it holds goes when its stream is closed. */
  readonly over: boolean;
  /** Since when it has had nothing to do, of the process's time; null: it has. */
  readonly idleSinceMs: number | null;
  /** Ends it behind the answers to what was read: at once where it has nothing to do. */
  giveWay(): void;
  /** The member stops. */
  retire(): void;
  /** Ends it at once. */
  cut(): void;
  /** Called now and then: time does not pass by itself. */
  look(nowMs: number): void;
}

export class PipelineRoom {
  readonly #guests = new Set<Guest>();
  /** By the other end. */
  readonly #connections = new Map<string, Connection>();
  #bytes = 0;
  #sweep: NodeJS.Timeout | null = null;
  #retired = false;

  get retired(): boolean {
    return this.#retired;
  }

  /** False when there is no place for another one of this connection, and nobody to give way. */
  makePlace(peer: string): boolean {
    if (this.#retired) return false;
    const own = this.#connections.get(peer)?.guests ?? NOBODY;
    if (own.size >= PIPELINES_PER_CONNECTION_MAX) {
      longestIdle(own)?.giveWay();
      if (own.size >= PIPELINES_PER_CONNECTION_MAX) return false;
    }
    if (this.#guests.size >= PIPELINES_MAX) longestIdle(this.#guests)?.giveWay();
    return this.#guests.size < PIPELINES_MAX;
  }

  enter(guest: Guest): void {
    this.#guests.add(guest);
    const connection = this.#connections.get(guest.peer) ?? { guests: new Set(), bytes: 0 };
    this.#connections.set(guest.peer, connection);
    connection.guests.add(guest);
    this.#sweep ??= this.#lookEvery(SWEEP_MS);
  }

  #lookEvery(ms: number): NodeJS.Timeout {
    return setInterval(() => {
      const nowMs = performance.now();
      for (const one of this.#guests) one.look(nowMs);
    }, ms).unref();
  }

  leave(guest: Guest): void {
    if (this.#guests.delete(guest)) {
      this.#count(guest, -guest.heldBytes);
      const connection = this.#connections.get(guest.peer);
      connection?.guests.delete(guest);
      if (connection?.guests.size === 0) this.#connections.delete(guest.peer);
    }
    if (this.#guests.size > 0 || this.#sweep === null) return;
    clearInterval(this.#sweep);
    this.#sweep = null;
  }

  /** Called when the guest has counted it itself. One that has left holds nothing that is counted. */
  hold(guest: Guest, bytes: number): void {
    if (!this.#guests.has(guest)) return;
    this.#count(guest, bytes);
    if (bytes <= 0) return;
    while (this.#bytes > PIPELINES_BYTES_MAX) {
      const most = this.#largest();
      if (most === null) return;
      // What it held is given up with it.
      this.leave(most);
      most.cut();
    }
  }

  #count(guest: Guest, bytes: number): void {
    this.#bytes += bytes;
    const connection = this.#connections.get(guest.peer);
    if (connection !== undefined) connection.bytes += bytes;
  }

  /** The largest of the connection that holds most in all: whoever spreads it over many keeps no more than others. */
  #largest(): Guest | null {
    let most: Guest | null = null;
    let mostBytes = -1;
    for (const { guests, bytes } of this.#connections.values()) {
      if (bytes <= mostBytes) continue;
      const largest = largestOf(guests);
      if (largest === null) continue;
      most = largest;
      mostBytes = bytes;
    }
    return most;
  }

  retire(): void {
    this.#retired = true;
    for (const guest of this.#guests) guest.retire();
    if (this.#sweep === null) return;
    clearInterval(this.#sweep);
    this.#sweep = this.#lookEvery(RETIRING_SWEEP_MS);
  }
}

interface Connection {
  readonly guests: Set<Guest>;
  /** Of all of them. */
  bytes: number;
}

const NOBODY: ReadonlySet<Guest> = new Set();

function longestIdle(guests: ReadonlySet<Guest>): Guest | null {
  let longest: Guest | null = null;
  let sinceMs = performance.now() - PIPELINE_IDLE_MS;
  for (const guest of guests) {
    const idle = guest.idleSinceMs;
    if (idle !== null && idle <= sinceMs) {
      longest = guest;
      sinceMs = idle;
    }
  }
  return longest;
}

function largestOf(guests: ReadonlySet<Guest>): Guest | null {
  let most: Guest | null = null;
  for (const one of guests) if (!one.over && (most === null || one.heldBytes > most.heldBytes)) most = one;
  return most;
}

/**
 * Circuit breakers of the targets that compensators stand behind (L3). Time is handed in; nothing here waits.
 *
 * CB1  A circuit opens when the tries of one compensator are used up, and stays open for `circuitMs`.
 * CB2  While it is open nobody calls the target. What wants to is blocked at once, and not after five more tries.
 * CB3  After that one call goes through, and the others wait for it: done closes the circuit, failed opens it again.
 * CB4  A supervisor who resumes a recovery says that the target is well: its circuit is closed.
 *
 * Circuits live in the memory of the leader. A new one knows those that recoveries are blocked by: see `learn`.
 */

export type CircuitVerdict =
  | 'call'
  /** CB2 */
  | 'open'
  /** CB3: somebody's call is under way. */
  | 'wait';

interface Circuit {
  /** Cluster time, milliseconds. */
  openUntilMs: number;
  probing: boolean;
}

/** Circuits that are remembered; the one that closes first is forgotten. */
const CIRCUITS_MAX = 10_000;

export class Circuits {
  readonly #open = new Map<string, Circuit>();

  get size(): number {
    return this.#open.size;
  }

  /** 'call' after the time of an open circuit makes the caller its probe: it must tell what came of it. */
  ask(target: string, nowMs: number): CircuitVerdict {
    const circuit = this.#open.get(target);
    if (circuit === undefined) return 'call';
    if (nowMs < circuit.openUntilMs) return 'open';
    if (circuit.probing) return 'wait';
    circuit.probing = true;
    return 'call';
  }

  succeeded(target: string): void {
    this.#open.delete(target);
  }

  /** Opens the circuit when the call was the last that the compensator had, or a probe. Says whether it is open now. */
  failed(target: string, last: boolean, nowMs: number, circuitMs: number): boolean {
    const circuit = this.#open.get(target);
    if (circuit === undefined && !last) return false;
    this.#openUntil(target, nowMs + circuitMs);
    return true;
  }

  /** The probe ended without a verdict on the target (a stale token, or it never left). */
  released(target: string): void {
    const circuit = this.#open.get(target);
    if (circuit !== undefined) circuit.probing = false;
  }

  /** A recovery was blocked at `blockedAtMs` because its tries were used up, under this leader or an earlier one. */
  learn(target: string, blockedAtMs: number, circuitMs: number): void {
    const until = blockedAtMs + circuitMs;
    if (until > (this.#open.get(target)?.openUntilMs ?? 0)) this.#openUntil(target, until);
  }

  clear(): void {
    this.#open.clear();
  }

  #openUntil(target: string, openUntilMs: number): void {
    this.#open.delete(target);
    this.#open.set(target, { openUntilMs, probing: false });
    if (this.#open.size <= CIRCUITS_MAX) return;
    const [first] = [...this.#open].sort(([, x], [, y]) => x.openUntilMs - y.openUntilMs);
    if (first !== undefined) this.#open.delete(first[0]);
  }
}

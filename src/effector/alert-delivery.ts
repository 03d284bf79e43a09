/**
 * Takes the alerts of the replicated state to a webhook (V8, L3, L4, A3), while this member leads: at least once, each with an
 * idempotency key, the oldest first. Alerts that nobody takes are given up, so that they do not pile up; they stay readable.
 *
 * Tries are counted in the leader's memory: a new leader begins again.
 */
import type { MachineView } from '../machine/api.ts';
import type { AlertRow } from '../machine/issue/types.ts';
import { alertOf, pendingAlerts } from '../machine/issue/view.ts';
import type { LeaderPort, LeaderWork } from '../node/leader-work.ts';
import { fullJitterMs } from './back-off.ts';
import { errorText } from './hook.ts';
import type { PostJson } from './http-post.ts';

const TRIES_MAX = 20;
const BACKOFF_BASE_MS = 500;
const BACKOFF_MAX_MS = 5 * 60_000;
const DEADLINE_MS = 10_000;
const DELIVERIES_MAX = 8;
/** Alerts that one tick looks at. */
const PAGE = 64;
/** After a proposal whose outcome is not known, milliseconds. */
const UNKNOWN_PAUSE_MS = 100;

export interface AlertDeliveryDeps {
  /** null: there is none, and alerts are settled at once. */
  readonly webhook: string | null;
  readonly post: PostJson;
  readonly clusterId: string;
  readonly onGivenUp?: (alert: AlertRow, error: string) => void;
  readonly onBug: (error: unknown) => void;
}

interface Tries {
  count: number;
  /** Monotonic, milliseconds. */
  nextAtMs: number;
  /** What is still to be said in the log; null: nothing, it is to be posted. */
  verdict: Verdict | null;
}

interface Verdict {
  readonly delivered: boolean;
  readonly error: string;
}

export class AlertDelivery implements LeaderWork {
  readonly #deps: AlertDeliveryDeps;
  readonly #stop = new AbortController();
  #reign: Reign | null = null;

  constructor(deps: AlertDeliveryDeps) {
    this.#deps = deps;
  }

  lead(port: LeaderPort): void {
    this.#reign = new Reign(port, this.#deps, this.#stop.signal);
  }

  tick(nowMs: number): void {
    if (!this.#stop.signal.aborted) this.#reign?.tick(nowMs);
  }

  applied(): void {
    // The next tick finds what is new.
  }

  depose(): void {
    this.#reign = null;
  }

  /** The member stops: deliveries under way are broken off, and come again from the next leader. */
  close(): void {
    this.#stop.abort();
    this.depose();
  }
}

/** One term. */
class Reign {
  readonly #port: LeaderPort;
  readonly #deps: AlertDeliveryDeps;
  readonly #signal: AbortSignal;
  readonly #tries = new Map<number, Tries>();
  readonly #underWay = new Set<number>();
  /** Number of the last alert that was looked at. */
  #cursor = 0;

  constructor(port: LeaderPort, deps: AlertDeliveryDeps, signal: AbortSignal) {
    this.#port = port;
    this.#deps = deps;
    this.#signal = signal;
  }

  tick(nowMs: number): void {
    if (this.#underWay.size >= DELIVERIES_MAX) return;
    const page = pendingAlerts(this.#port.view, this.#cursor, PAGE);
    this.#cursor = page.length < PAGE ? 0 : (page.at(-1)?.alert ?? 0);
    if (this.#cursor === 0) this.#forgetSettled(this.#port.view);
    for (const alert of page) {
      if (this.#underWay.size >= DELIVERIES_MAX) return;
      const tries = this.#tries.get(alert.alert);
      if (this.#underWay.has(alert.alert) || (tries !== undefined && tries.nextAtMs > nowMs)) continue;
      this.#underWay.add(alert.alert);
      this.#deliver(alert)
        .catch(this.#deps.onBug)
        .finally(() => this.#underWay.delete(alert.alert));
    }
  }

  async #deliver(alert: AlertRow): Promise<void> {
    const tries = this.#tries.get(alert.alert) ?? { count: 0, nextAtMs: 0, verdict: null };
    this.#tries.set(alert.alert, tries);
    tries.verdict ??= await this.#post(alert, tries);
    if (tries.verdict === null || !this.#port.leading) return;
    const { delivered, error } = tries.verdict;
    const body = { kind: 'settleAlert', alert: alert.alert, delivered, error } as const;
    const result = await this.#port.propose(body);
    if (result?.ok !== true) tries.nextAtMs = this.#port.clock.monotonicMs() + UNKNOWN_PAUSE_MS;
    else if (!delivered && this.#deps.webhook !== null) this.#deps.onGivenUp?.(alert, error);
  }

  /** null: it is tried again later. */
  async #post(alert: AlertRow, tries: Tries): Promise<Verdict | null> {
    const { webhook, post, clusterId } = this.#deps;
    if (webhook === null) return { delivered: false, error: 'no webhook is configured' };
    const { memberId } = this.#port;
    const { state: _, lastError: __, ...fields } = alert;
    const answer = await post({
      url: webhook,
      headers: { 'idempotency-key': alertKey(clusterId, alert) },
      body: JSON.stringify({ clusterId, memberId, ...fields }),
      deadlineMs: DEADLINE_MS,
      signal: this.#signal,
    });
    if (answer.kind === 'answered' && answer.status >= 200 && answer.status < 300) {
      return { delivered: true, error: '' };
    }
    tries.count++;
    const error = answer.kind === 'failed' ? answer.error : errorText(`HTTP ${answer.status}: ${answer.body}`);
    if (tries.count >= TRIES_MAX) return { delivered: false, error };
    const waitMs = fullJitterMs(this.#port.random, tries.count, BACKOFF_BASE_MS, BACKOFF_MAX_MS);
    tries.nextAtMs = this.#port.clock.monotonicMs() + waitMs;
    return null;
  }

  #forgetSettled(view: MachineView): void {
    for (const alert of this.#tries.keys()) {
      if (!this.#underWay.has(alert) && alertOf(view, alert)?.state !== 'PENDING') this.#tries.delete(alert);
    }
  }
}

/** The same under every leader. */
function alertKey(clusterId: string, { alert, raisedAtMs }: AlertRow): string {
  return `${clusterId}-alert-${alert}-${raisedAtMs}`;
}

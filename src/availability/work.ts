/**
 * What a leader does about members that are slow or away (A1–A3). It measures and listens, and says in the log what it found; the
 * state decides what holds, and `node/membership.ts` changes the configuration. A new leader begins to measure anew: everybody
 * has the whole time again.
 */
import type { AvailabilityCommand } from '../machine/availability/types.ts';
import { availabilityRows, sidelined } from '../machine/availability/view.ts';
import { type AckTimes, type AckWindow, UNKNOWN_TIMES } from '../node/ack-times.ts';
import type { LeaderPort, LeaderWork } from '../node/leader-work.ts';
import { healthyOf } from '../node/membership.ts';
import type { RaftStatus } from '../raft/types.ts';
import type { MemberId } from '../types/ids.ts';
import { ContactWatch } from './contact.ts';
import { nextAvailability } from './decide.ts';
import { LAG_RULES, type LagRules, LagWatch, type Measured } from './lag.ts';

const LEVEL = 3;
/** After a command that was not carried out, milliseconds: what was seen is looked at again, not written again and again. */
const PAUSE_MS = 1_000;
/** How often the windows are looked at, milliseconds: reports come about every second. */
const JUDGE_MS = 500;

export interface AvailabilityWorkOptions {
  readonly ackTimes: AckTimes;
  /** Hands leadership to the member; the result shows by itself. */
  readonly handOver: (to: MemberId) => void;
  readonly rules?: LagRules;
}

export class AvailabilityWork implements LeaderWork {
  readonly #options: AvailabilityWorkOptions;
  readonly #rules: LagRules;
  #port: LeaderPort | null = null;
  #contact = new ContactWatch();
  #lag: LagWatch;
  #judgedMs = Number.NEGATIVE_INFINITY;
  /** A command is on its way: what it changes is waited for. */
  #busy = false;
  #pausedMs = Number.NEGATIVE_INFINITY;

  constructor(options: AvailabilityWorkOptions) {
    this.#options = options;
    this.#rules = options.rules ?? LAG_RULES;
    this.#lag = new LagWatch(this.#rules);
  }

  lead(port: LeaderPort): void {
    this.#port = port;
    this.#contact = new ContactWatch();
    this.#lag = new LagWatch(this.#rules);
    this.#judgedMs = Number.NEGATIVE_INFINITY;
    this.#pausedMs = Number.NEGATIVE_INFINITY;
    this.#busy = false;
    this.#options.ackTimes.forgetOthers();
  }

  tick(nowMs: number): void {
    const port = this.#port;
    if (port === null || port.view.featureLevel().level < LEVEL) return;
    const status = port.raftStatus();
    this.#contact.observe(status, nowMs);
    if (this.#busy || status.role !== 'leader' || nowMs - this.#pausedMs < PAUSE_MS) return;
    const silentMs = (member: MemberId): number => this.#contact.silentMs(member);
    const next = nextAvailability({ status, view: port.view, nowMs: port.nowMs(), silentMs });
    if (next !== null) this.#propose(port, next);
    else this.#judge(port, status, nowMs);
  }

  applied(): void {}

  depose(): void {
    this.#port = null;
  }

  #judge(port: LeaderPort, status: RaftStatus, nowMs: number): void {
    // While a configuration is joint nobody can say which majority counts.
    if (nowMs - this.#judgedMs < JUDGE_MS || status.configuration.votersOutgoing.length > 0) return;
    this.#judgedMs = nowMs;
    const gone = this.#goneWhileLagging(port, status);
    if (gone !== null) {
      this.#propose(port, { kind: 'markLagging', member: gone, lagging: false, detail: 'it is no member any more' });
      return;
    }
    const verdict = this.#lag.judge(this.#measure(port, status, nowMs), nowMs);
    if (verdict === null) return;
    if (verdict.kind === 'handOver') this.#options.handOver(verdict.to);
    else this.#propose(port, { ...verdict, kind: 'markLagging', lagging: verdict.kind === 'mark' });
  }

  #measure({ view }: LeaderPort, status: RaftStatus, nowMs: number): readonly Measured[] {
    const { voters, learners } = status.configuration;
    const { lagging, doubtful } = sidelined(view);
    const healthy = new Set(healthyOf(status, voters).filter((voter) => !doubtful.has(voter)));
    const asyncOnes = new Set(availabilityRows(view).flatMap((row) => (row.asyncUntilMs === 0 ? [] : [row.member])));
    const measured = [...voters, ...learners.filter((learner) => lagging.has(learner))];
    return measured.map((member) => ({
      member,
      voter: voters.includes(member),
      leader: member === status.id,
      lagging: lagging.has(member),
      healthy: healthy.has(member),
      // Nobody waits for the fsync of one that acknowledges before it (A2).
      window: asyncOnes.has(member) ? UNKNOWN_TIMES : this.#window(status, member, nowMs),
    }));
  }

  #window({ id }: RaftStatus, member: MemberId, nowMs: number): AckWindow {
    const { ackTimes } = this.#options;
    const { windowMs } = this.#rules;
    return member === id ? ackTimes.own(nowMs, windowMs) : ackTimes.of(member, nowMs, windowMs);
  }

  /** Its mark would keep every other one from being marked. */
  #goneWhileLagging({ view }: LeaderPort, { configuration }: RaftStatus): MemberId | null {
    const { voters, learners } = configuration;
    const here = new Set([...voters, ...learners]);
    return [...sidelined(view).lagging].find((member) => !here.has(member)) ?? null;
  }

  #propose(port: LeaderPort, command: AvailabilityCommand): void {
    this.#busy = true;
    port.propose(command).then((result) => {
      if (this.#port !== port) return;
      this.#busy = false;
      if (result?.ok !== true) this.#pausedMs = port.clock.monotonicMs();
    });
  }
}

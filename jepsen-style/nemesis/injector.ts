/** Carries a schedule out, and keeps account of it: what was injected, what was skipped and why, and when. */
import type { Cluster } from '../cluster/cluster.ts';
import type { History, RunClock } from '../record/history.ts';
import { Background, pause } from '../system/exec.ts';
import type { FakeClock } from '../system/faketime.ts';
import type { Relay } from '../system/relay.ts';
import type { Tools } from '../system/tools.ts';
import { type Fault, type Injected, majority, type Nemesis, type NemesisContext, SkippedError } from './types.ts';

export interface InjectorDeps {
  readonly cluster: Cluster;
  readonly nemeses: readonly Nemesis[];
  readonly tools: Tools;
  readonly relay: Relay | null;
  readonly clocks: readonly FakeClock[] | null;
  readonly cli: string;
  readonly history: History;
  readonly clock: RunClock;
  readonly log: (line: string) => void;
  readonly finding: (detail: string) => void;
}

/** By nemesis. */
export interface FaultCount {
  injected: number;
  skipped: number;
  /** Why, each reason once. */
  reasons: string[];
}

/** A fault that lasts, and what to do with its members where it cannot be ended as it should. */
interface Begun {
  readonly injected: Injected;
  readonly giveBack: () => void;
}

export class Injector {
  readonly counts = new Map<string, FaultCount>();
  readonly #deps: InjectorDeps;
  /** All but what belongs to one fault. */
  readonly #shared: Omit<NemesisContext, 'claim' | 'claimExclusive' | 'release'>;
  readonly #taken = new Set<number>();
  /** Whose identity is being changed. */
  readonly #exclusive = new Set<number>();
  readonly #disabled = new Map<Fault, readonly number[]>();
  readonly #programs = new Set<Background>();
  readonly #over: Promise<void>;
  #finish: () => void = () => undefined;

  constructor(deps: InjectorDeps) {
    this.#deps = deps;
    for (const { name } of deps.nemeses) this.counts.set(name, { injected: 0, skipped: 0, reasons: [] });
    this.#over = new Promise((resolve) => {
      this.#finish = resolve;
    });
    const { cluster, relay, clocks, cli, log, finding } = deps;
    this.#shared = {
      cluster,
      relay,
      clocks,
      cli,
      log,
      finding,
      background: (command) => {
        const program = new Background(command);
        this.#programs.add(program);
        return program;
      },
    };
  }

  /** A fault has the process or the disk of the member to itself. */
  isTaken(slot: number): boolean {
    return this.#taken.has(slot);
  }

  /**
   * Resolves when every fault is over. What takes longer than it was drawn to take (a member has to be brought back) does not run into
   * what was to come after it. Nothing begins after `untilMs`: it is skipped.
   */
  async run(schedule: readonly Fault[], untilMs: number): Promise<void> {
    const ends: { readonly dueMs: number; readonly over: Promise<void> }[] = [];
    for (const fault of [...schedule].sort((a, b) => a.startMs - b.startMs)) {
      const before = ends.filter(({ dueMs }) => dueMs <= fault.startMs).map(({ over }) => over);
      const over = Promise.all(before).then(() => this.#carryOut(fault, untilMs));
      ends.push({ dueMs: fault.startMs + fault.lengthMs, over });
    }
    await Promise.all(ends.map(({ over }) => over));
  }

  /** Ends what lasts, and begins nothing any more. */
  stop(): void {
    this.#finish();
  }

  /** On the way out. */
  killNow(): void {
    for (const program of this.#programs) program.killNow();
  }

  async #carryOut(fault: Fault, untilMs: number): Promise<void> {
    const { clock, nemeses, history, log } = this.#deps;
    let over = false;
    void this.#over.then(() => {
      over = true;
    });
    await this.#until(fault.startMs - clock.nowMs());
    if (over) return;
    if (clock.nowMs() > untilMs) {
      this.#skip(fault, 'the time was over: faults before it took longer than they were drawn to take');
      return;
    }
    const nemesis = nemeses.find(({ name }) => name === fault.nemesis);
    const begun = await this.#begin(fault, nemesis);
    if (begun === null) return;
    const { injected, giveBack } = begun;
    log(`${fault.nemesis} begins: ${JSON.stringify(injected.value)}`);
    await this.#until(fault.lengthMs);
    try {
      const why = await injected.end();
      if (typeof why === 'string') {
        this.#count(fault).injected -= 1;
        this.#skip(fault, why);
      }
    } catch (error) {
      giveBack();
      this.#deps.finding(`${fault.nemesis} could not be ended: ${messageOf(error)}`);
    }
    this.#disabled.delete(fault);
    history.note('nemesis', 'info', `${fault.nemesis}-stop`, null, injected.value);
    log(`${fault.nemesis} ends`);
  }

  async #begin(fault: Fault, nemesis: Nemesis | undefined): Promise<Begun | null> {
    const { tools, cluster, history } = this.#deps;
    const missing = nemesis?.needs.find((tool) => tools[tool] !== null);
    if (nemesis === undefined) return this.#skip(fault, 'there is no such nemesis');
    if (missing !== undefined) return this.#skip(fault, `${missing}: ${tools[missing]}`);
    const leader = await cluster.leader().catch(() => null);
    const { context, giveBack } = this.#contextOf();
    try {
      // Noted before it is done: whatever it breaks is broken after the note.
      const before = { at: this.#deps.clock.nowNs() };
      const injected = await nemesis.begin(context, fault);
      this.#disabled.set(fault, injected.disabled);
      const disabled = new Set([...this.#disabled.values()].flat());
      const quorum = cluster.members.length - disabled.size >= majority(cluster.members.length);
      const leaderAffected = leader !== null && injected.disabled.includes(leader);
      const facts = { leader, leaderAffected, quorum, disabled: injected.disabled, beganAtNs: before.at };
      history.note('nemesis', 'info', `${fault.nemesis}-start`, null, { ...injected.value, ...facts });
      this.#count(fault).injected += 1;
      return { injected, giveBack };
    } catch (error) {
      giveBack();
      return this.#skip(fault, messageOf(error), !(error instanceof SkippedError));
    }
  }

  #skip(fault: Fault, why: string, unexpected = false): null {
    const count = this.#count(fault);
    count.skipped += 1;
    if (!count.reasons.includes(why)) count.reasons.push(why);
    this.#deps.history.note('nemesis', 'info', `${fault.nemesis}-skipped`, null, { why });
    this.#deps.log(`${fault.nemesis} ${unexpected ? 'FAILED TO BEGIN' : 'skipped'}: ${why}`);
    return null;
  }

  #count(fault: Fault): FaultCount {
    const found = this.counts.get(fault.nemesis) ?? { injected: 0, skipped: 0, reasons: [] };
    this.counts.set(fault.nemesis, found);
    return found;
  }

  /** A context whose claims are given back when the fault could not begin: nobody stays down for a fault that is none. */
  #contextOf(): { readonly context: NemesisContext; readonly giveBack: () => void } {
    const mine = new Set<number>();
    const take = (wanted: readonly number[], count: number): readonly number[] => {
      const free = wanted.filter((slot) => !this.#taken.has(slot)).slice(0, count);
      if (free.length < count) throw new SkippedError('another fault has the members that it needs');
      for (const slot of free) {
        this.#taken.add(slot);
        mine.add(slot);
      }
      return free;
    };
    const release = (slots: readonly number[]): void => {
      for (const slot of slots) {
        this.#taken.delete(slot);
        mine.delete(slot);
        this.#exclusive.delete(slot);
      }
    };
    const claimExclusive = (wanted: readonly number[], count: number): readonly number[] => {
      if (this.#exclusive.size > 0) throw new SkippedError('another fault changes who the members are');
      const slots = take(wanted, count);
      for (const slot of slots) this.#exclusive.add(slot);
      return slots;
    };
    const giveBack = (): void => {
      for (const slot of mine) {
        this.#deps.cluster.member(slot).signal('SIGCONT');
        this.#deps.cluster.member(slot).start();
      }
      release([...mine]);
    };
    return { context: { ...this.#shared, claim: take, claimExclusive, release }, giveBack };
  }

  /** Ends early when the run is stopped. */
  async #until(ms: number): Promise<void> {
    if (ms > 0) await Promise.race([pause(ms), this.#over]);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/**
 * Follows one member through its events, from life to life: its log, what of it is durable, its votes. What can be wrong in one member
 * alone is found here; what concerns several is noted in `Evidence` and judged in `checker.ts`, whose rules need no common clock.
 */
import type { TraceEvent } from '../../src/raft/trace.ts';
import type { Configuration } from '../../src/raft/types.ts';
import { isQuorum, quorumsIntersect } from '../model/quorums.ts';
import { TermLog } from './term-log.ts';

export type Rule = 'ES' | 'LM' | 'CL' | 'MO' | 'DG' | 'CQ' | 'WV';

export interface Finding {
  readonly rule: Rule;
  readonly member: string;
  /** Position among the events of the member. */
  readonly at: number;
  readonly message: string;
}

export interface MemberTrace {
  readonly member: string;
  readonly events: readonly TraceEvent[];
  /** False: events are missing at the end, so nothing is concluded from what is not there. */
  readonly complete: boolean;
}

type Event<K extends TraceEvent['kind']> = Extract<TraceEvent, { kind: K }>;

interface Place {
  readonly member: string;
  readonly at: number;
}
export interface Election extends Place {
  readonly term: number;
  readonly log: TermLog;
  readonly granted: readonly string[];
}
export interface Commit extends Place {
  readonly index: number;
  readonly entryTerm: number;
  /** Of the member that commits. */
  readonly term: number;
  /** For the leader of the term: what it counts in. */
  readonly configuration: Configuration | null;
}
/** Where the entries of a term begin. */
export interface TermStart extends Place {
  readonly term: number;
  readonly firstIndex: number;
  readonly prevTerm: number;
}

/** What all members have shown. */
export class Evidence {
  readonly findings: Finding[] = [];
  readonly elections: Election[] = [];
  readonly commits: Commit[] = [];
  readonly starts: TermStart[] = [];
  /** `member term candidate`: a vote was given, durable or not. */
  readonly grants = new Set<string>();
  /** `member term` to the candidate. */
  readonly votes = new Map<string, string>();
  /** By member, for each term the highest index that was durable there at some time. */
  readonly held = new Map<string, Map<number, number>>();
  /** By member, the highest index that an image covered. */
  readonly covered = new Map<string, number>();
  /** By term, the highest index that its leader appended, and that anybody held. */
  readonly led = new Map<number, number>();
  readonly seen = new Map<number, Place & { readonly index: number }>();
  /** Terms of committed entries, as each member saw them: `index` to term. */
  readonly ledger: { term: number; inTerm: number; by: string }[] = [];
}

interface Pending {
  readonly sequence: number;
  readonly hardState: Event<'persist'>['hardState'];
  readonly from: number | null;
  readonly to: number;
  readonly spans: ReturnType<TermLog['tail']>;
  readonly restore: Event<'restore'> | null;
}

export class Replay {
  readonly #member: string;
  readonly #evidence: Evidence;
  #at = 0;
  #alive = false;
  #term = 0;
  #log = new TermLog();
  #disk = new TermLog();
  #durableTerm = 0;
  #commitIndex = 0;
  /** Term in which it was elected in this life; 0: none. */
  #leads = 0;
  #configuration: Configuration = { voters: [], votersOutgoing: [], learners: [] };
  #configurationIndex = 0;
  #pending: Pending[] = [];

  constructor(member: string, evidence: Evidence) {
    this.#member = member;
    this.#evidence = evidence;
    evidence.held.set(member, new Map());
  }

  run(events: readonly TraceEvent[]): void {
    for (const [at, event] of events.entries()) {
      this.#at = at;
      this.#take(event);
    }
    // Whoever ended now may have had these on disk, and have said so.
    for (const pending of this.#pending) this.#hold(pending.spans, pending.to);
  }

  #expect(holds: boolean, rule: Rule, message: string): void {
    if (!holds) this.#evidence.findings.push({ rule, member: this.#member, at: this.#at, message });
  }

  get #place(): Place {
    return { member: this.#member, at: this.#at };
  }

  #take(event: TraceEvent): void {
    if (event.kind === 'start') {
      this.#start(event);
      return;
    }
    if (!this.#alive) return;
    if ('term' in event && event.kind !== 'vote') {
      this.#expect(event.term >= this.#term, 'MO', `the term goes from ${this.#term} to ${event.term}`);
      this.#term = Math.max(this.#term, event.term);
    }
    switch (event.kind) {
      case 'role':
        if (event.role !== 'leader') this.#leads = 0;
        break;
      case 'vote':
        if (event.granted && !event.pre) this.#grant(event.term, event.candidate);
        break;
      case 'campaign':
        this.#grant(event.term, this.#member);
        this.#expectEnd(event.lastIndex, event.lastTerm);
        break;
      case 'elected':
        this.#elected(event);
        break;
      case 'append':
        this.#append(event);
        break;
      case 'truncate':
        this.#truncate(event);
        break;
      case 'commit':
        this.#commit(event);
        break;
      case 'configuration':
        this.#configure(event);
        break;
      default:
        this.#disks(event);
    }
  }

  #disks(event: Event<'persist' | 'durable' | 'restore' | 'compact' | 'mark'>): void {
    switch (event.kind) {
      case 'persist': {
        const { sequence, hardState, from } = event;
        const spans = from === null ? [] : this.#log.tail(from);
        this.#pending.push({ sequence, hardState, from, to: this.#log.lastIndex, spans, restore: null });
        break;
      }
      case 'restore':
        this.#restore(event);
        break;
      case 'durable':
        this.#durable(event.sequence);
        break;
      case 'compact':
        this.#log.compactTo(event.index);
        this.#disk.compactTo(Math.min(event.index, this.#disk.lastIndex));
        break;
      default:
    }
  }

  #start({ hardState, log, appliedIndex, configurations, recovering }: Event<'start'>): void {
    const found = TermLog.from(log);
    if (this.#alive && !recovering) this.#expectKept(hardState.term, found);
    // Acknowledgements may leave before the fsync if a crash is then taken for a loss (permit-async).
    if (recovering) for (const pending of this.#pending) this.#hold(pending.spans, pending.to);
    this.#alive = true;
    this.#pending = [];
    this.#term = hardState.term;
    this.#durableTerm = hardState.term;
    this.#log = found;
    this.#disk = found.copy();
    this.#commitIndex = appliedIndex;
    this.#leads = 0;
    const placed = configurations.at(-1);
    if (placed !== undefined) this.#configuration = placed.configuration;
    this.#configurationIndex = placed?.index ?? 0;
    this.#vote(hardState.term, hardState.votedFor);
    this.#hold(log.spans, log.lastIndex);
    this.#cover(log.baseIndex);
    this.#see(log.spans, log.lastIndex, log.baseTerm, log.baseIndex > 0);
  }

  /** DG: what was durable is there, with the first so many of the writes that were under way: each as a whole, in their order. */
  #expectKept(hardTerm: number, found: TermLog): void {
    const durable = { term: this.#durableTerm, lastIndex: this.#disk.lastIndex };
    const fits = (): boolean =>
      // Term and vote are stored twice: the second copy may be newer than the log.
      hardTerm >= this.#durableTerm &&
      found.lastIndex === this.#disk.lastIndex &&
      (found.baseIndex > this.#disk.lastIndex || found.lastTerm === this.#disk.lastTerm);
    let kept = fits();
    while (!kept && this.#pending.length > 0) {
      this.#durable(this.#pending[0]?.sequence ?? 0);
      kept = fits();
    }
    const message = `starts with term ${hardTerm} and a log up to ${found.lastIndex}; durable were term ${durable.term} and entry ${durable.lastIndex}`;
    this.#expect(kept, 'DG', message);
  }

  #grant(term: number, candidate: string): void {
    this.#evidence.grants.add(`${this.#member} ${term} ${candidate}`);
  }

  /** ES: a vote that is durable stays for its term, over crashes, too. */
  #vote(term: number, votedFor: string | null): void {
    if (votedFor === null) return;
    const key = `${this.#member} ${term}`;
    const before = this.#evidence.votes.get(key) ?? votedFor;
    this.#expect(before === votedFor, 'ES', `votes for ${before} and for ${votedFor} in term ${term}`);
    this.#evidence.votes.set(key, votedFor);
    this.#grant(term, votedFor);
  }

  #expectEnd(lastIndex: number, lastTerm: number): void {
    const [index, term] = [this.#log.lastIndex, this.#log.lastTerm];
    this.#expect(
      index === lastIndex && term === lastTerm,
      'WV',
      `says that its log ends at ${lastIndex}, not at ${index}`,
    );
  }

  #elected({ term, lastIndex, lastTerm, granted, blank }: Event<'elected'>): void {
    this.#expectEnd(lastIndex, lastTerm);
    const enough = isQuorum([...granted, ...blank], this.#configuration);
    this.#expect(enough, 'ES', `leads term ${term} with votes of ${[...granted, ...blank].join(',') || 'nobody'}`);
    this.#leads = term;
    this.#evidence.elections.push({ ...this.#place, term, log: this.#log.copy(), granted });
  }

  #append({ term, from, to, prevTerm, spans }: Event<'append'>): void {
    const { lastIndex, lastTerm } = this.#log;
    this.#expect(from === lastIndex + 1, 'LM', `appends ${from} behind ${lastIndex}`);
    this.#expect(prevTerm === lastTerm, 'LM', `appends behind an entry of term ${prevTerm}, not ${lastTerm}`);
    this.#expect((spans.at(-1)?.term ?? term) <= term, 'WV', `appends an entry newer than term ${term}`);
    this.#see(spans, to, prevTerm, false);
    this.#log.append(to, spans);
    if (this.#leads === term) this.#evidence.led.set(term, Math.max(to, this.#evidence.led.get(term) ?? 0));
  }

  #truncate({ term, from, to }: Event<'truncate'>): void {
    this.#expect(to === this.#log.lastIndex, 'LM', `cuts up to ${to}, but the log ends at ${this.#log.lastIndex}`);
    this.#expect(from > this.#commitIndex, 'CL', `cuts ${from}, committed up to ${this.#commitIndex}`);
    this.#expect(this.#leads !== term, 'LM', `cuts its log as leader of term ${term}`);
    this.#log.truncateFrom(from);
  }

  #commit({ term, index, entryTerm }: Event<'commit'>): void {
    this.#expect(index > this.#commitIndex, 'MO', `the commit index goes from ${this.#commitIndex} to ${index}`);
    // An image is committed before it is in the log: the restore event of the same step follows.
    const mine = this.#log.termAt(index);
    const image = mine !== entryTerm && this.#leads !== term;
    if (!image) this.#apply(index, term);
    const configuration = this.#leads === term ? this.#configuration : null;
    this.#expect(
      configuration === null || mine === term,
      'CL',
      `counts entry ${index}, which is not of its term ${term}`,
    );
    this.#commitIndex = Math.max(this.#commitIndex, index);
    this.#evidence.commits.push({ ...this.#place, index, entryTerm, term, configuration });
  }

  /** CL: what was committed first at an index is final. */
  #apply(upTo: number, term: number): void {
    const { ledger } = this.#evidence;
    for (let index = Math.max(this.#commitIndex, this.#log.baseIndex) + 1; index <= upTo; index++) {
      const mine = this.#log.termAt(index);
      if (mine === null) {
        this.#expect(false, 'CL', `commits ${index}, but the log ends at ${this.#log.lastIndex}`);
        return;
      }
      const first = ledger[index];
      if (first === undefined) ledger[index] = { term: mine, inTerm: term, by: this.#member };
      else {
        const message = `commits entry ${index} of term ${mine}; ${first.by} committed the one of term ${first.term}`;
        this.#expect(first.term === mine, 'CL', message);
        first.inTerm = Math.min(first.inTerm, term);
      }
    }
  }

  #configure({ placed, committed }: Event<'configuration'>): void {
    const leads = this.#leads !== 0 && this.#leads === this.#term;
    if (leads && placed.index > this.#configurationIndex) {
      const known = this.#commitIndex >= this.#configurationIndex;
      this.#expect(known, 'CQ', `adds configuration ${placed.index}, and ${this.#configurationIndex} is not committed`);
      const overlap = quorumsIntersect(this.#configuration, placed.configuration);
      this.#expect(overlap, 'CQ', `quorums of configuration ${placed.index} and of the one before need not intersect`);
    }
    if (committed)
      this.#expect(placed.index <= this.#commitIndex, 'CQ', `configuration ${placed.index} is not committed`);
    this.#configuration = placed.configuration;
    this.#configurationIndex = placed.index;
  }

  #restore(event: Event<'restore'>): void {
    const { mark, keepsEntries, sequence } = event;
    if (keepsEntries) this.#log.compactTo(mark.index);
    else this.#log.reset(mark.index, mark.term);
    const to = this.#log.lastIndex;
    this.#pending.push({ sequence, hardState: null, from: null, to, spans: [], restore: event });
    this.#configuration = keepsEntries ? this.#configuration : mark.configuration.configuration;
    this.#configurationIndex = keepsEntries ? this.#configurationIndex : mark.configuration.index;
  }

  #durable(sequence: number): void {
    const last = this.#pending.findLastIndex((pending) => pending.sequence <= sequence);
    for (const pending of this.#pending.splice(0, last + 1)) {
      const { hardState, from, spans, to, restore } = pending;
      if (hardState !== null) {
        this.#expect(hardState.term >= this.#durableTerm, 'MO', `the durable term goes back to ${hardState.term}`);
        this.#durableTerm = hardState.term;
        this.#vote(hardState.term, hardState.votedFor);
      }
      if (from !== null) {
        this.#disk.truncateFrom(from);
        this.#disk.append(to, spans);
        this.#hold(spans, to);
      }
      if (restore === null) continue;
      if (restore.keepsEntries) this.#disk.compactTo(restore.mark.index);
      else this.#disk.reset(restore.mark.index, restore.mark.term);
      this.#cover(restore.mark.index);
    }
  }

  #hold(spans: readonly { readonly firstIndex: number; readonly term: number }[], to: number): void {
    const held = this.#evidence.held.get(this.#member);
    for (const [at, { term }] of spans.entries()) {
      const end = (spans[at + 1]?.firstIndex ?? to + 1) - 1;
      held?.set(term, Math.max(end, held.get(term) ?? 0));
    }
  }

  #cover(index: number): void {
    const { covered } = this.#evidence;
    covered.set(this.#member, Math.max(index, covered.get(this.#member) ?? 0));
  }

  /** LM: the entries of a term begin in one place, behind one entry. `cut`: the first span may have begun earlier. */
  #see(
    spans: readonly { readonly firstIndex: number; readonly term: number }[],
    to: number,
    prevTerm: number,
    cut: boolean,
  ): void {
    const { starts, seen } = this.#evidence;
    let before = prevTerm;
    for (const [at, { firstIndex, term }] of spans.entries()) {
      if (term !== before && !(cut && at === 0 && before === term)) {
        starts.push({ ...this.#place, term, firstIndex, prevTerm: before });
      }
      before = term;
      const index = (spans[at + 1]?.firstIndex ?? to + 1) - 1;
      if (index > (seen.get(term)?.index ?? 0)) seen.set(term, { ...this.#place, index });
    }
  }
}

/**
 * The invariants of the Raft paper (figure 3) and of configurations, over a whole state. Written from the paper, without the core: they
 * look at logs, disks and what was committed. null: all hold.
 */
import type { Configuration, Entry } from '../../src/raft/types.ts';
import { type Counted, configurationsOf } from './member.ts';
import { isQuorum, quorumsIntersect } from './quorums.ts';
import type { Committed, Facts, Space } from './space.ts';
import { PairTable } from './tables.ts';

const same = (left: Entry, right: Entry): boolean =>
  left.term === right.term && left.kind === right.kind && String(left.payload) === String(right.payload);

const text = ({ index, term, kind }: Entry): string => `${index} of term ${term} (${kind})`;

/** Log Matching: where index and term agree, everything up to there does. */
export function logsMatch(left: readonly Entry[], right: readonly Entry[]): boolean {
  let agree = false;
  for (let at = Math.min(left.length, right.length) - 1; at >= 0; at--) {
    const [mine, theirs] = [left[at] as Entry, right[at] as Entry];
    if (mine.term === theirs.term) agree = true;
    if (agree && !same(mine, theirs)) return false;
  }
  return true;
}

export class Rules {
  readonly #space: Space;
  readonly #matching = new PairTable();
  readonly #alone = new Map<number, string | null>();

  constructor(space: Space) {
    this.#space = space;
  }

  /**
   * `changed` has just become what it is, beside the others; `ledger` is what was committed before. Returns the ledger now, or
   * what is broken.
   */
  committed(
    members: readonly Facts[],
    changed: Facts,
    before: Facts,
    counted: readonly Counted[],
    ledger: number,
  ): number | string {
    const space = this.#space;
    if (changed.commitIndex <= before.commitIndex) return ledger;
    const known = space.ledger(ledger);
    const log = space.log(changed.log);
    for (let at = 0; at < Math.min(known.length, changed.commitIndex); at++) {
      const [mine, theirs] = [log[at], (known[at] as Committed).entry];
      if (mine === undefined || !same(mine, theirs)) {
        return `CL: ${changed.member.id} commits another entry than ${text(theirs)}`;
      }
    }
    for (const { index, configuration } of counted) {
      const backed = this.#backed(members, changed, index, configuration);
      if (backed !== null) return backed;
    }
    if (changed.commitIndex <= known.length) return ledger;
    const news = log.slice(known.length, changed.commitIndex).map((entry) => ({ entry, inTerm: changed.term }));
    return space.numberOfLedger([...known, ...news]);
  }

  /** DG: a majority of each half holds on disk what a leader counts. */
  #backed(members: readonly Facts[], leader: Facts, index: number, configuration: Configuration): string | null {
    const last = this.#space.log(leader.log)[index - 1];
    if (last === undefined) return `CL: ${leader.member.id} counts entry ${index}, which it does not have`;
    const holders = members.filter(({ disk }) => {
      const held = this.#space.log(disk)[index - 1];
      return held !== undefined && same(held, last);
    });
    const names = holders.map(({ member }) => member.id);
    if (isQuorum(names, configuration)) return null;
    return `DG: ${leader.member.id} commits ${text(last)}, which only ${names.join(',') || 'nobody'} holds`;
  }

  /** After `changed` has become what it is. */
  state(members: readonly Facts[], changed: Facts, ledgerNumber: number): string | null {
    const space = this.#space;
    const ledger = space.ledger(ledgerNumber);
    for (const facts of members) {
      if (facts.leads) {
        const lacks = this.#lacks(facts, ledger);
        if (lacks !== null) return lacks;
        if (facts !== changed && changed.leads && facts.term === changed.term) {
          return `ES: ${facts.member.id} and ${changed.member.id} lead term ${facts.term}`;
        }
      }
      if (facts !== changed && !this.#match(facts.log, changed.log)) {
        return `LM: logs of ${facts.member.id} and ${changed.member.id} differ before an entry that both have`;
      }
    }
    for (const [at, entry] of space.log(changed.applied).entries()) {
      const first = ledger[at];
      if (first === undefined || !same(first.entry, entry)) return `AH: ${changed.member.id} applied ${text(entry)}`;
    }
    return this.#configurations(changed, ledger.length);
  }

  /** Leader completeness. */
  #lacks(leader: Facts, ledger: readonly Committed[]): string | null {
    const log = this.#space.log(leader.log);
    for (const [at, { entry, inTerm }] of ledger.entries()) {
      if (inTerm >= leader.term) break;
      const mine = log[at];
      if (mine === undefined || !same(mine, entry))
        return `CL: leader ${leader.member.id} of ${leader.term} lacks ${text(entry)}`;
    }
    return null;
  }

  #match(left: number, right: number): boolean {
    const [low, high] = [Math.min(left, right), Math.max(left, right)];
    let known = this.#matching.get(low, high);
    if (known < 0) {
      known = logsMatch(this.#space.log(low), this.#space.log(high)) ? 1 : 0;
      this.#matching.set(low, high, known);
    }
    return known === 1;
  }

  /** CQ: quorums of successive configurations intersect, and at most one is not committed by anybody. */
  #configurations({ log: number, member }: Facts, committed: number): string | null {
    const { founding } = this.#space;
    if (founding.scope.changes === 0) return null;
    const log = this.#space.log(number);
    const open = log.filter(({ kind, index }) => kind === 'configuration' && index > committed).length;
    if (open > 1) return `CQ: ${member.id} holds ${open} configurations that are not committed`;
    let known = this.#alone.get(number);
    if (known === undefined) {
      const all = configurationsOf(log, founding);
      const apart = all.find((next, at) => at > 0 && !quorumsIntersect(all[at - 1] as Configuration, next));
      known = apart === undefined ? null : `CQ: successive configurations of ${member.id} do not intersect`;
      this.#alone.set(number, known);
    }
    return known;
  }
}

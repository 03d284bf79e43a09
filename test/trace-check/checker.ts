/**
 * The invariants of the Raft paper over what members did, by their trace events alone: the merged streams of a simulated cluster or of
 * real processes. Only the order within a member counts, so clocks need not agree.
 *
 * Election Safety, one durable vote for each term, Log Matching, Leader Append-Only, Leader Completeness, State Machine Safety,
 * commits backed by the disks of a quorum, successive configurations with quorums that intersect, and nothing that goes back.
 */
import { isQuorum } from '../model/quorums.ts';
import { type Commit, type Election, Evidence, type Finding, type MemberTrace, Replay } from './replay.ts';

export type { Finding, MemberTrace, Rule } from './replay.ts';

/** Empty: all rules hold. */
export function checkTrace(traces: readonly MemberTrace[]): Finding[] {
  const evidence = new Evidence();
  for (const { member, events } of traces) new Replay(member, evidence).run(events);
  const complete = new Set(traces.filter((trace) => trace.complete).map(({ member }) => member));
  return [
    ...evidence.findings,
    ...electionSafety(evidence, complete),
    ...logMatching(evidence, complete),
    ...leaderCompleteness(evidence),
    ...backedCommits(evidence, complete),
  ];
}

function electionSafety({ elections, grants }: Evidence, complete: ReadonlySet<string>): Finding[] {
  const findings: Finding[] = [];
  const leaders = new Map<number, Election>();
  for (const election of elections) {
    const { member, at, term, granted } = election;
    const other = leaders.get(term);
    const found = (message: string): unknown => findings.push({ rule: 'ES', member, at, message });
    if (other !== undefined) found(`leads term ${term}, and so does ${other.member}`);
    leaders.set(term, election);
    for (const voter of granted) {
      if (complete.has(voter) && !grants.has(`${voter} ${term} ${member}`))
        found(`${voter} gave it no vote in term ${term}`);
    }
  }
  return findings;
}

function logMatching({ starts, seen, led, elections }: Evidence, complete: ReadonlySet<string>): Finding[] {
  const findings: Finding[] = [];
  const first = new Map<number, (typeof starts)[number]>();
  for (const start of starts) {
    const { member, at, term, firstIndex, prevTerm } = start;
    const known = first.get(term) ?? start;
    first.set(term, known);
    if (known.firstIndex === firstIndex && known.prevTerm === prevTerm) continue;
    const message = `term ${term} begins at ${firstIndex} behind term ${prevTerm}, with ${known.member} at ${known.firstIndex} behind ${known.prevTerm}`;
    findings.push({ rule: 'LM', member, at, message });
  }
  const leaderOf = new Map(elections.map(({ term, member }) => [term, member]));
  for (const [term, { member, at, index }] of seen) {
    const leader = leaderOf.get(term);
    if (leader !== undefined && complete.has(leader) && index > (led.get(term) ?? 0)) {
      findings.push({
        rule: 'WV',
        member,
        at,
        message: `holds entry ${index} of term ${term}, which ${leader} never appended`,
      });
    }
  }
  return findings;
}

function leaderCompleteness({ elections, ledger }: Evidence): Finding[] {
  const findings: Finding[] = [];
  for (const { member, at, term, log } of elections) {
    for (const [index, committed] of ledger.entries()) {
      if (committed === undefined || committed.inTerm >= term || index < log.baseIndex) continue;
      if (log.termAt(index) === committed.term) continue;
      const message = `leads term ${term} without entry ${index} of term ${committed.term}, committed in term ${committed.inTerm}`;
      findings.push({ rule: 'CL', member, at, message });
      break;
    }
  }
  return findings;
}

function backedCommits({ commits, held, covered }: Evidence, complete: ReadonlySet<string>): Finding[] {
  const holds = (member: string, { index, entryTerm }: Commit): boolean =>
    !complete.has(member) || (covered.get(member) ?? 0) >= index || (held.get(member)?.get(entryTerm) ?? 0) >= index;
  const findings: Finding[] = [];
  for (const commit of commits) {
    const { member, at, index, configuration } = commit;
    if (configuration === null) continue;
    const voters = [...configuration.voters, ...configuration.votersOutgoing];
    const holders = voters.filter((id) => holds(id, commit));
    if (isQuorum(holders, configuration)) continue;
    findings.push({
      rule: 'DG',
      member,
      at,
      message: `counts entry ${index}, which only ${holders.join(',') || 'nobody'} had on disk`,
    });
  }
  return findings;
}

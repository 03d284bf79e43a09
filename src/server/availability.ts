/** The availability rules (A1–A3) as a member of a real cluster has them. */
import { AvailabilityWork } from '../availability/work.ts';
import { AckTimes } from '../node/ack-times.ts';
import type { LeaderWork } from '../node/leader-work.ts';
import type { Member } from '../node/member.ts';
import type { MemberDeps } from '../node/options.ts';
import { DATA_STREAM, type MemberId } from '../types/ids.ts';
import type { OpenedData } from './open-data.ts';

export interface AvailabilityParts {
  readonly deps: Required<Pick<MemberDeps, 'ackTimes' | 'asyncMark'>>;
  work(): LeaderWork;
}

/** `member`: null until it is open. */
export function availabilityParts({ asyncMark }: OpenedData, member: () => Member | null): AvailabilityParts {
  const ackTimes = new AckTimes();
  const handOver = (to: MemberId): void => {
    // Resolves with how it ended, whatever that is; who leads shows by itself.
    void member()?.transferLeadership(DATA_STREAM, to);
  };
  return { deps: { ackTimes, asyncMark }, work: () => new AvailabilityWork({ ackTimes, handOver }) };
}

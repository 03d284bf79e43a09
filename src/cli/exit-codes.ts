/** Exit codes that scripts can rely on. */
import { CompactedError, IndeterminateError, QuorateError } from '../client/client.ts';
import { MemberRemovedError } from '../server/removed.ts';

export const EXIT = {
  ok: 0,
  unexpected: 1,
  usage: 2,
  rejected: 3,
  unavailable: 4,
  indeterminate: 5,
  compacted: 6,
  removed: 7,
  interrupted: 130,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

export const EXIT_CODES_HELP = `
Exit codes:
  0    done
  1    unexpected failure (QUORATE_DEBUG=1 shows the stack); a log or a backup that is damaged
  2    wrong usage or configuration, or a member cannot start with it
  3    rejected by the state of the cluster; the reason is on stderr, and in the JSON
  4    unavailable: no member, no leader or no quorum within the deadline, or overloaded
  5    outcome unknown: look at the state before you try again
  6    the history that was asked for is compacted
  7    the member was removed from its cluster: do not start it again
  130  interrupted`;

/** Wrong usage or configuration, found by the program itself. The message says what to do. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
  /** One sentence for each thing that is wrong; a line of its own each. */
  readonly problems: readonly string[];

  constructor(problems: string | readonly string[], options?: ErrorOptions) {
    const list = (typeof problems === 'string' ? [problems] : problems).map((one) => one.replaceAll('\n', '; '));
    super(list.join('; '), options);
    this.problems = list;
  }
}

export function exitCodeOf(error: unknown): ExitCode {
  if (error instanceof UsageError) return EXIT.usage;
  if (error instanceof IndeterminateError) return EXIT.indeterminate;
  if (error instanceof CompactedError) return EXIT.compacted;
  if (error instanceof MemberRemovedError) return EXIT.removed;
  if (!(error instanceof QuorateError)) return EXIT.unexpected;
  switch (error.reason) {
    case 'INVALID_ARGUMENT':
      return EXIT.usage;
    case 'UNAVAILABLE':
    case 'NOT_LEADER':
    case 'NO_QUORUM':
    case 'OVERLOADED':
    case 'SHUTTING_DOWN':
    case 'WATCH_TOO_SLOW':
    case 'NO_SPACE':
    case 'PARTITION_ERROR':
    case 'MEMBER_REMOVED':
    case 'DEADLINE_EXPIRED':
      return EXIT.unavailable;
    case 'INTERNAL':
    case 'UNKNOWN':
    case 'BACKUP_FAILED':
      return EXIT.unexpected;
    default:
      return EXIT.rejected;
  }
}

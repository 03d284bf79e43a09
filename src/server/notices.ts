/** What an operator should know of, as lines of the log. */
import type { Logger } from 'pino';
import type { Notice } from '../node/options.ts';
import type { WalEvent } from '../wal/types.ts';

type Line = readonly [level: 'debug' | 'info' | 'warn' | 'error', message: string];

const LINES: Readonly<Record<Notice['kind'], Line>> = {
  snapshotSent: ['info', 'sent an image of the state to a member that was far behind'],
  snapshotFailed: ['warn', 'could not send an image of the state; it is tried again while it is needed'],
  snapshotInstalled: ['info', 'took over an image of the state from the leader'],
  snapshotBad: ['warn', 'an image of the state that came in was not whole, and was thrown away'],
  compacted: ['debug', 'the log was cut at its beginning'],
  noSpace: ['error', 'the disk is full: no changes are taken until there is room again; reads go on'],
  spaceBack: ['info', 'the disk has room again'],
  partitioned: ['error', 'this member is cut off: no contact with a majority; it refuses changes'],
  partitionOver: ['info', 'this member has contact with a majority again'],
  recovered: ['info', 'everything that was lost is back from the cluster; this member votes again'],
  configuration: ['info', 'the members of the cluster'],
  diverged: ['error', 'the state of a member differs from that of the majority; that member must stop'],
  featureLevel: ['info', 'the feature level of the cluster'],
};

export function logNotice(logger: Logger, notice: Notice): void {
  const [level, message] = LINES[notice.kind];
  logger[level](fieldsOf(notice), message);
}

/** `level` and `member` are keys of every line: the severity, and who logs. A line with one of them twice is misread. */
function fieldsOf(notice: Notice): object {
  if (notice.kind === 'featureLevel') return { featureLevel: notice.level };
  const { kind: _, ...fields } = notice;
  if (notice.kind !== 'diverged') return fields;
  const { member, index, hash, majorityHash } = notice;
  return { diverged: member, index, hash, majorityHash };
}

export function logWalEvent(logger: Logger, event: WalEvent): void {
  if (event.kind === 'tornTail') {
    const { file, offset, bytes, copy } = event;
    const what = 'cut a torn tail off the log: the last write was not finished when it stopped';
    logger.warn({ file, offset, bytes, copy }, `${what}. What was cut is kept in ${copy}`);
  } else if (event.kind === 'shortFile') {
    const { file, bytes, preparedBytes } = event;
    const what =
      'a file of the log is shorter than it was made: check the disk, and whether the data folder was copied';
    logger.warn({ file, bytes, preparedBytes }, `${what} in part`);
  }
}

/** A backup as it comes from one member. */
import { MaintenanceService } from '../gen/quorate/v1/maintenance_pb.ts';
import { must } from '../types/assert.ts';
import { toBackupInfo } from './convert.ts';
import { messagesOfOne, type OneStreamDeps } from './one-stream.ts';
import type { BackupInfo, BackupPiece } from './types.ts';

export async function* backupPieces(
  deps: OneStreamDeps,
  signal: AbortSignal = new AbortController().signal,
): AsyncGenerator<BackupPiece, void, undefined> {
  let info: BackupInfo | null = null;
  let bytes = 0;
  for await (const message of messagesOfOne(deps, MaintenanceService.method.backup, {}, signal)) {
    info ??= toBackupInfo(must(message.info, 'a backup begins with its facts'));
    bytes += message.data.length;
    yield { info, data: message.data, bytes };
  }
}

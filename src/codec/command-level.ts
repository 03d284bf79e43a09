/** What every member must support before a command may be written to the log (R9, architecture, decision 23). */
import type { CommandBody } from '../machine/types.ts';
import { isDomainCommand } from './domain.ts';

/**
 * The lowest feature level whose releases carry the command out in full. An older one stops at an entry whose command it does not
 * know; of one that it knows it skips fields that came later, and would change its state in another way than the others (R7).
 */
export function commandLevel(body: CommandBody): number {
  if (isDomainCommand(body)) return 3;
  switch (body.kind) {
    case 'changeMembers':
    case 'setFeatureLevel':
      return 2;
    case 'beginPhase':
      return (body.participants ?? []).length === 0 ? 1 : 3;
    case 'reportProgress': {
      const { checkpointCrc, vectorClock, participant } = body;
      const told = checkpointCrc !== undefined || (vectorClock ?? []).length > 0 || (participant ?? '') !== '';
      return told ? 3 : 1;
    }
    default:
      return 1;
  }
}

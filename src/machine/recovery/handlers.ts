/** Handlers of the recovery commands. */
import { unreachable } from '../../types/assert.ts';
import type { Handler } from '../context.ts';

const notBuilt = (): never => unreachable(undefined as never, 'not built yet');

export const recoveryHandlers: {
  readonly [K in 'startRecovery' | 'takeOverRecovery' | 'completeStep' | 'settleCompensation']: Handler<K>;
} = {
  startRecovery: notBuilt,
  takeOverRecovery: notBuilt,
  completeStep: notBuilt,
  settleCompensation: notBuilt,
};

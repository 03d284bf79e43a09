/** Handlers of the detection commands. */
import { unreachable } from '../../types/assert.ts';
import type { Handler } from '../context.ts';

const notBuilt = (): never => unreachable(undefined as never, 'not built yet');

export const detectionHandlers: {
  readonly [K in 'interruptPhase' | 'markAgent' | 'reportFinished' | 'setPolicy']: Handler<K>;
} = {
  interruptPhase: notBuilt,
  markAgent: notBuilt,
  reportFinished: notBuilt,
  setPolicy: notBuilt,
};

/** Handlers of the availability commands. */
import { unreachable } from '../../types/assert.ts';
import type { Handler } from '../context.ts';

const notBuilt = (): never => unreachable(undefined as never, 'not built yet');

export const availabilityHandlers: {
  readonly [K in 'markLagging' | 'permitAsync' | 'markIsolated' | 'evictMember']: Handler<K>;
} = {
  markLagging: notBuilt,
  permitAsync: notBuilt,
  markIsolated: notBuilt,
  evictMember: notBuilt,
};

/** Handlers of the override commands. */
import { unreachable } from '../../types/assert.ts';
import type { Handler } from '../context.ts';

const notBuilt = (): never => unreachable(undefined as never, 'not built yet');

export const overrideHandlers: { readonly [K in 'override' | 'changeSupervisors']: Handler<K> } = {
  override: notBuilt,
  changeSupervisors: notBuilt,
};

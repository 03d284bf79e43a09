/** Handlers of the override commands. */
import { unreachable } from '../../types/assert.ts';
import type { Handler } from '../context.ts';
import { changeSupervisors } from './supervisors.ts';

export const overrideHandlers: { readonly [K in 'override' | 'changeSupervisors']: Handler<K> } = {
  override: () => unreachable(undefined as never, 'not built yet'),
  changeSupervisors,
};

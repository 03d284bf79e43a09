/** Handlers of the override commands. */
import type { Handler } from '../context.ts';
import { override } from './override.ts';
import { changeSupervisors } from './supervisors.ts';

export const overrideHandlers: { readonly [K in 'override' | 'changeSupervisors']: Handler<K> } = {
  override,
  changeSupervisors,
};

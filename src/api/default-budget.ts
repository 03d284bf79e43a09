/** The budget of a member that was given none: one currency, whose name nobody knows, and 500 units of it for a trace (L4). */
import { err, ok } from '../types/result.ts';
import type { Budget } from './context.ts';

const LIMIT_MICROS = '500000000';
const AMOUNT = /^(\d{1,18})(?:\.(\d{1,6}))?$/;

export const defaultBudget: Budget = {
  price(region, currency, amount) {
    if (region !== '' || currency !== '') {
      return err('the member has no budget file; leave region and currency empty, or give it one');
    }
    const [, whole, fraction = ''] = AMOUNT.exec(amount) ?? [];
    if (whole === undefined) {
      return err(`${JSON.stringify(amount)} is no amount; send a decimal number such as 12.50, with at most 6 places`);
    }
    return ok({ costMicros: String(BigInt(whole + fraction.padEnd(6, '0'))), limitMicros: LIMIT_MICROS });
  },
};

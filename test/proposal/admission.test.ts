import { describe, expect, it } from 'vitest';
import { Admission } from '../../src/proposal/admission.ts';

describe('Admission', () => {
  it('A5: bounds the count', () => {
    const admission = new Admission(2, 1_000);
    expect([admission.tryAdmit(1), admission.tryAdmit(1), admission.tryAdmit(1)]).toEqual([true, true, false]);
    admission.release(1, 5);
    expect(admission.tryAdmit(1)).toBe(true);
    expect(admission.count).toBe(2);
  });

  it('A5: bounds the bytes, but lets one oversized proposal through alone', () => {
    const admission = new Admission(10, 100);
    expect(admission.tryAdmit(500)).toBe(true);
    expect(admission.tryAdmit(1)).toBe(false);
    admission.release(500, 5);
    expect(admission.tryAdmit(60)).toBe(true);
    expect(admission.tryAdmit(60)).toBe(false);
  });

  it('hints at the waiting time, within bounds', () => {
    const admission = new Admission(10, 100);
    expect(admission.retryAfterMs()).toBe(25);
    for (let i = 0; i < 200; i += 1) {
      admission.tryAdmit(1);
      admission.release(1, 400);
    }
    expect(admission.retryAfterMs()).toBeGreaterThan(350);
    for (let i = 0; i < 500; i += 1) {
      admission.tryAdmit(1);
      admission.release(1, 60_000);
    }
    expect(admission.retryAfterMs()).toBe(2_000);
  });

  it('refuses to give back more than was taken', () => {
    const admission = new Admission(10, 100);
    expect(() => admission.release(1, 1)).toThrow('released once');
  });
});

// CSI and OSC sequences, and lone escapes: what terminals interpret and a page cannot.
// oxlint-disable-next-line no-control-regex -- control characters are what this removes
const ESCAPES = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)|[@-Z\\-_])/g;

/** The text without terminal escape sequences. */
export const stripAnsi = (text: string) => text.replace(ESCAPES, "");

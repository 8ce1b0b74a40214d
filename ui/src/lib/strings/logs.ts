import { number } from "./plural";

export const en = {
  title: (task: string) => `Log of ${task}`,
  tries: "Tries",
  try: (n: number) => `Try ${n}`,
  tryIs: (n: number, state: string) => `Try ${n}: ${state}`,
  region: "Log lines",
  empty: "This try has written nothing yet.",
  emptyDone: "This try wrote nothing.",
  following: "Following: new lines appear by themselves.",
  ended: "End of the log.",
  follow: "Scroll to new lines",
  never: "This task has not run yet.",
  cut: (n: number) => `${number(n)} earlier lines are not shown.`,
  showAll: "Show them",
  failed: (why: string) => `The log could not be read: ${why}`,
};

export const zh: typeof en = {
  title: (task) => `${task} 的日志`,
  tries: "尝试",
  try: (n) => `第 ${n} 次`,
  tryIs: (n, state) => `第 ${n} 次：${state}`,
  region: "日志行",
  empty: "这次尝试还没有输出。",
  emptyDone: "这次尝试没有输出。",
  following: "正在跟随：新行会自动出现。",
  ended: "日志结束。",
  follow: "滚动到新行",
  never: "此任务还没有运行过。",
  cut: (n) => `前面的 ${number(n)} 行没有显示。`,
  showAll: "显示",
  failed: (why) => `无法读取日志：${why}`,
};

export const en = {
  title: "Sign in",
  username: "User name",
  password: "Password",
  submit: "Sign in",
  provider: "Sign in with your organization",
  hint: "“updraft standalone” prints the password of the user “admin” when it starts.",
  wrong: "User name or password is wrong.",
  expired: "Your session has ended. Please sign in again.",
};

export const zh: typeof en = {
  title: "登录",
  username: "用户名",
  password: "密码",
  submit: "登录",
  provider: "使用组织账号登录",
  hint: "“updraft standalone” 启动时会打印用户 “admin” 的密码。",
  wrong: "用户名或密码错误。",
  expired: "会话已结束，请重新登录。",
};
